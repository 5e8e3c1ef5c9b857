package gameserver.backendless;

import java.util.Objects;

/** Why a call failed. */
public final class BackendlessFault {
    /** The code of calls that got no answer from the server. */
    public static final String NO_ANSWER = "0";

    private final String code;
    private final String message;
    private final int httpStatus;

    BackendlessFault(String code, String message, int httpStatus) {
        this.code = Objects.requireNonNull(code);
        this.message = message;
        this.httpStatus = httpStatus;
    }

    /** Returns the published code, such as "3003"; {@link #NO_ANSWER} when the server was not reached. */
    public String getCode() {
        return code;
    }

    /** Returns what went wrong, for developers. */
    public String getMessage() {
        return message;
    }

    /** Returns the HTTP status of the answer; 0 without one. */
    public int getHttpStatusCode() {
        return httpStatus;
    }

    @Override
    public String toString() {
        return code + ": " + message;
    }
}
