package gameserver.backendless;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;

/** Keeps logins in a folder, a file for each app, which only the owner reads. */
public final class FileLoginStorage implements LoginStorage {
    private final File folder;

    /** Uses a folder, which is made when it is needed. On Android: {@code context.getFilesDir()}. */
    public FileLoginStorage(File folder) {
        this.folder = folder;
    }

    @Override
    public Map<String, String> load(String applicationId) throws IOException {
        Map<String, String> login = new LinkedHashMap<>();
        File file = file(applicationId);
        if (file.exists()) {
            Properties kept = new Properties();
            try (InputStream in = new FileInputStream(file)) {
                kept.load(in);
            }
            for (String name : kept.stringPropertyNames()) {
                login.put(name, kept.getProperty(name));
            }
        }
        return login;
    }

    @Override
    public void save(String applicationId, Map<String, String> login) throws IOException {
        File file = file(applicationId);
        if (login.isEmpty()) {
            if (file.exists() && !file.delete()) {
                throw new IOException("cannot delete " + file);
            }
            return;
        }
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new IOException("cannot make the folder " + folder);
        }
        Properties kept = new Properties();
        kept.putAll(login);
        File written = File.createTempFile("login", ".tmp", folder);
        boolean isThere = false;
        try {
            if (!written.setReadable(false, false) || !written.setReadable(true, true)) {
                throw new IOException("cannot keep others from reading " + written);
            }
            try (OutputStream out = new FileOutputStream(written)) {
                kept.store(out, null);
            }
            isThere = written.renameTo(file) || file.delete() && written.renameTo(file);
            if (!isThere) {
                throw new IOException("cannot write " + file);
            }
        } finally {
            if (!isThere) {
                written.delete();
            }
        }
    }

    private File file(String applicationId) {
        return new File(folder, applicationId.replaceAll("[^A-Za-z0-9-]", "_") + ".login");
    }
}
