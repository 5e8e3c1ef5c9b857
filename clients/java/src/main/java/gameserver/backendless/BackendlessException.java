package gameserver.backendless;

/** A call that blocks has failed. */
public final class BackendlessException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final transient BackendlessFault fault;

    BackendlessException(BackendlessFault fault, Throwable cause) {
        super(fault.getMessage(), cause);
        this.fault = fault;
    }

    /** Returns why it failed. */
    public BackendlessFault getFault() {
        return fault;
    }

    /** Returns the published code; the same as that of {@link #getFault()}. */
    public String getCode() {
        return fault.getCode();
    }

    /** Returns the HTTP status of the answer; 0 without one. */
    public int getHttpStatusCode() {
        return fault.getHttpStatusCode();
    }
}
