package gameserver.backendless;

import java.io.IOException;
import java.util.Map;

/** Keeps the login of a user who stays logged in, over a restart of the program. */
public interface LoginStorage {
    /** Returns what was kept for an app; empty where nothing was. */
    Map<String, String> load(String applicationId) throws IOException;

    /** Keeps a login of an app in place of the one before; an empty one forgets. It holds a secret. */
    void save(String applicationId, Map<String, String> login) throws IOException;
}
