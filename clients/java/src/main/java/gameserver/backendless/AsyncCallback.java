package gameserver.backendless;

/**
 * Hears how a call ended. Exactly one of the two methods is called, once, on a thread of {@link
 * Backendless#setCallbackExecutor}.
 *
 * @param <T> what the call returns
 */
public interface AsyncCallback<T> {
    /** The call succeeded. */
    void handleResponse(T response);

    /** The call was refused, or did not reach the server. */
    void handleFault(BackendlessFault fault);
}
