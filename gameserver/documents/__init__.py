"""JSON documents: fields, versions, access, where-clauses, pages, counts of long lists."""
