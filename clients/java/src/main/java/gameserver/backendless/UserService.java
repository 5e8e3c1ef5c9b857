package gameserver.backendless;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Registers users, logs them in and out. Each call is there twice: one blocks and throws {@link
 * BackendlessException}, one returns at once and tells an {@link AsyncCallback} how it ended.
 *
 * <p>One user is logged in at a time. Safe for use by several threads.
 */
public final class UserService {
    private static final String TOKEN = "user-token";
    private static final String USER_ID = "objectId";
    // After these there is no session any more, whatever else they say.
    private static final Set<String> NO_SESSION = new HashSet<>(Arrays.asList("3023", "3064", "3090", "3091"));

    private Rest rest;
    private String applicationId;
    private LoginStorage storage;
    private String token;
    private String userId;
    private BackendlessUser user;

    UserService() {}

    synchronized void begin(Rest rest, String applicationId, LoginStorage storage) {
        this.rest = rest;
        this.applicationId = applicationId;
        this.storage = storage;
        user = null;
        try {
            Map<String, String> kept = storage.load(applicationId);
            token = kept.get(TOKEN);
            userId = kept.get(USER_ID);
        } catch (IOException error) {
            throw failed("cannot read the login that was kept: " + error.getMessage(), error);
        }
    }

    // Logging in

    /** Logs a user in. {@code identity} is the property that users log in with, by default the e-mail address. */
    public BackendlessUser login(String identity, String password) {
        return login(identity, password, false);
    }

    /** Logs a user in who, with {@code stayLoggedIn}, still is after a restart of the program. */
    public BackendlessUser login(String identity, String password, boolean stayLoggedIn) {
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("login", identity);
        body.put("password", password);
        return enter("users/login", body, stayLoggedIn);
    }

    /** Logs a user in. */
    public void login(String identity, String password, AsyncCallback<BackendlessUser> callback) {
        login(identity, password, callback, false);
    }

    /** Logs a user in who, with {@code stayLoggedIn}, still is after a restart of the program. */
    public void login(
            String identity, String password, AsyncCallback<BackendlessUser> callback, boolean stayLoggedIn) {
        Backendless.inBackground(() -> login(identity, password, stayLoggedIn), callback);
    }

    /** Logs in as a user who has no name yet, and may register later. */
    public BackendlessUser loginAsGuest() {
        return loginAsGuest(false);
    }

    /** Logs in as a guest who, with {@code stayLoggedIn}, still is after a restart of the program. */
    public BackendlessUser loginAsGuest(boolean stayLoggedIn) {
        return enter("users/register/guest", new LinkedHashMap<>(), stayLoggedIn);
    }

    /** Logs in as a guest. */
    public void loginAsGuest(AsyncCallback<BackendlessUser> callback) {
        loginAsGuest(callback, false);
    }

    /** Logs in as a guest who, with {@code stayLoggedIn}, still is after a restart of the program. */
    public void loginAsGuest(AsyncCallback<BackendlessUser> callback, boolean stayLoggedIn) {
        Backendless.inBackground(() -> loginAsGuest(stayLoggedIn), callback);
    }

    // Logging out

    /**
     * Logs the user out: the token is refused everywhere from then on. When the session had ended already,
     * that is told as a fault, and the user counts as logged out; after any other fault the user still is logged in.
     */
    public void logout() {
        Rest rest = rest();
        String gone = token();
        try {
            rest.call("GET", "users/logout", null, gone);
        } catch (BackendlessException error) {
            if (NO_SESSION.contains(error.getCode())) {
                forget(gone);
            }
            throw error;
        }
        forget(gone);
    }

    /** Logs the user out. */
    public void logout(AsyncCallback<Void> callback) {
        Backendless.inBackground(
                () -> {
                    logout();
                    return null;
                },
                callback);
    }

    // Who is logged in

    /** Returns the user who is logged in; null for nobody, and for one of before a restart: see {@link #findById}. */
    public synchronized BackendlessUser CurrentUser() {
        return user;
    }

    /** Returns the id of the user who is logged in, also of before a restart; "" for nobody. */
    public synchronized String loggedInUser() {
        return userId == null ? "" : userId;
    }

    /** Tells whether somebody is logged in, and the server still takes the session. */
    public boolean isValidLogin() {
        String asked = token();
        return asked != null
                && Boolean.TRUE.equals(rest().call("GET", "users/isvalidusertoken/" + Rest.segment(asked), null, null));
    }

    /** Tells whether somebody is logged in, and the server still takes the session. */
    public void isValidLogin(AsyncCallback<Boolean> callback) {
        Backendless.inBackground(this::isValidLogin, callback);
    }

    /** Returns the names of the caller's roles. */
    public List<String> getUserRoles() {
        List<String> names = new ArrayList<>();
        Object told = rest().call("GET", "users/userroles", null, token());
        for (Object name : told instanceof List ? (List<?>) told : Collections.emptyList()) {
            names.add(String.valueOf(name));
        }
        return names;
    }

    /** Returns the names of the caller's roles. */
    public void getUserRoles(AsyncCallback<List<String>> callback) {
        Backendless.inBackground(this::getUserRoles, callback);
    }

    // Users

    /** Registers a user, who is not logged in by that. Returns the user as the server keeps it. */
    public BackendlessUser register(BackendlessUser user) {
        return user(rest().call("POST", "users/register", user.getProperties(), token()));
    }

    /** Registers a user, who is not logged in by that. */
    public void register(BackendlessUser user, AsyncCallback<BackendlessUser> callback) {
        Backendless.inBackground(() -> register(user), callback);
    }

    /** Changes the properties of the user who is logged in. Returns the user as the server keeps it. */
    public BackendlessUser update(BackendlessUser changed) {
        if (changed.getObjectId() == null) {
            throw new IllegalArgumentException("a user without objectId is not registered");
        }
        String path = "users/" + Rest.segment(changed.getObjectId());
        BackendlessUser kept = user(rest().call("PUT", path, changed.getProperties(), token()));
        synchronized (this) {
            if (user != null && kept.getObjectId().equals(userId)) {
                user = kept;
            }
        }
        return kept;
    }

    /** Changes the properties of the user who is logged in. */
    public void update(BackendlessUser changed, AsyncCallback<BackendlessUser> callback) {
        Backendless.inBackground(() -> update(changed), callback);
    }

    /** Returns a user, as much as the caller may see: everything of oneself. */
    public BackendlessUser findById(String objectId) {
        return user(rest().call("GET", "data/Users/" + Rest.segment(objectId), null, token()));
    }

    /** Returns a user, as much as the caller may see. */
    public void findById(String objectId, AsyncCallback<BackendlessUser> callback) {
        Backendless.inBackground(() -> findById(objectId), callback);
    }

    /** Has the user mailed how to set a new password. */
    public void restorePassword(String identity) {
        rest().call("GET", "users/restorepassword/" + Rest.segment(identity), null, null);
    }

    /** Has the user mailed how to set a new password. */
    public void restorePassword(String identity, AsyncCallback<Void> callback) {
        Backendless.inBackground(
                () -> {
                    restorePassword(identity);
                    return null;
                },
                callback);
    }

    // What is kept

    private BackendlessUser enter(String path, Map<String, Object> body, boolean stays) {
        Object told = rest().call("POST", path, body, null);
        BackendlessUser entered = user(told);
        Object given = entered.getProperty(TOKEN);
        if (!(given instanceof String) || entered.getObjectId() == null) {
            throw failed("the server has told no token", null);
        }
        entered.removeProperty(TOKEN);
        synchronized (this) {
            user = entered;
            token = (String) given;
            userId = entered.getObjectId();
            Map<String, String> login = new LinkedHashMap<>();
            if (stays) {
                login.put(TOKEN, token);
                login.put(USER_ID, userId);
            }
            save(login);
        }
        return entered;
    }

    private synchronized void forget(String gone) {
        if (token != null && token.equals(gone)) { // nobody has logged in meanwhile
            user = null;
            token = null;
            userId = null;
            save(Collections.emptyMap());
        }
    }

    private void save(Map<String, String> login) {
        try {
            storage.save(applicationId, login);
        } catch (IOException error) {
            throw failed("logged in or out, but what is kept of it cannot be written: " + error.getMessage(), error);
        }
    }

    private synchronized Rest rest() {
        if (rest == null) {
            throw new IllegalStateException("call Backendless.initApp first");
        }
        return rest;
    }

    private synchronized String token() {
        return token;
    }

    private static BackendlessUser user(Object told) {
        if (!(told instanceof Map)) {
            throw failed("the server has told no user", null);
        }
        Map<String, Object> properties = new LinkedHashMap<>();
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) told).entrySet()) {
            properties.put((String) entry.getKey(), entry.getValue());
        }
        return new BackendlessUser(properties);
    }

    private static BackendlessException failed(String message, Throwable cause) {
        return new BackendlessException(new BackendlessFault(BackendlessFault.NO_ANSWER, message, 0), cause);
    }
}
