"""Moving an app's data in and out: an export in lines, and taking such lines in."""

from gameserver.admin.moving.declared import PARTS
from gameserver.admin.moving.exporting import export_page
from gameserver.admin.moving.importing import Importer, Report, import_lines, read_line

__all__ = ["PARTS", "Importer", "Report", "export_page", "import_lines", "read_line"]
