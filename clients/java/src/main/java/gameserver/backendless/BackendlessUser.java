package gameserver.backendless;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A user with all properties that the server tells. Not safe for use by several threads at once.
 *
 * <p>Values are strings, booleans, {@link Integer}, {@link Long} or {@link Double}, lists and maps of those, and null.
 */
public final class BackendlessUser {
    private final Map<String, Object> properties = new LinkedHashMap<>();

    /** Makes a user without properties, to be registered. */
    public BackendlessUser() {}

    BackendlessUser(Map<String, Object> properties) {
        this.properties.putAll(properties);
    }

    /** Returns the id of the user, which every face of the server takes; null before the user is registered. */
    public String getObjectId() {
        return (String) getProperty("objectId");
    }

    /** Returns the same as {@link #getObjectId()}. */
    public String getUserId() {
        return getObjectId();
    }

    /** Returns the address that the user logs in with, if it is an address. */
    public String getEmail() {
        return (String) getProperty("email");
    }

    /** Sets the address. */
    public void setEmail(String email) {
        setProperty("email", email);
    }

    /** Sets the password to register with, or to change to. The server never tells it. */
    public void setPassword(String password) {
        setProperty("password", password);
    }

    /** Returns a property; null where there is none. */
    public Object getProperty(String name) {
        return properties.get(name);
    }

    /** Sets a property, of the kinds that the class names. */
    public void setProperty(String name, Object value) {
        properties.put(name, value);
    }

    /** Takes a property away. The server keeps its value. */
    public void removeProperty(String name) {
        properties.remove(name);
    }

    /** Returns a copy of all properties. */
    public Map<String, Object> getProperties() {
        return new LinkedHashMap<>(properties);
    }

    /** Replaces all properties. */
    public void setProperties(Map<String, Object> properties) {
        this.properties.clear();
        putProperties(properties);
    }

    /** Sets some properties. */
    public void putProperties(Map<String, Object> properties) {
        this.properties.putAll(properties);
    }
}
