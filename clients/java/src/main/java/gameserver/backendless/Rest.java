package gameserver.backendless;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** Calls of the REST face of the server. Each is sent once: the program decides what to try again. */
final class Rest {
    private static final int CONNECT_MILLIS = 10_000;
    private static final int READ_MILLIS = 60_000;
    private static final int ANSWER_BYTES_MAX = 16 << 20;

    static {
        // The JDK would send a POST a second time by itself when a connection breaks: a user who was just
        // registered would be told that there is one already.
        if (System.getProperty("sun.net.http.retryPost") == null) {
            System.setProperty("sun.net.http.retryPost", "false");
        }
    }

    private final String base;

    Rest(String url, String applicationId, String apiKey) {
        base = url + "/" + segment(applicationId) + "/" + segment(apiKey) + "/";
    }

    /** Returns a text as one segment of a path. */
    static String segment(String text) {
        try {
            return URLEncoder.encode(text, "UTF-8").replace("+", "%20");
        } catch (IOException error) {
            throw new AssertionError(error); // every JDK has UTF-8
        }
    }

    /** Returns what the server answers, decoded; null for nothing. */
    Object call(String method, String path, Map<String, Object> body, String token) {
        try {
            HttpURLConnection connection = (HttpURLConnection) new URL(base + path).openConnection();
            connection.setRequestMethod(method);
            connection.setConnectTimeout(CONNECT_MILLIS);
            connection.setReadTimeout(READ_MILLIS);
            connection.setInstanceFollowRedirects(false);
            connection.setUseCaches(false);
            if (token != null) {
                connection.setRequestProperty("user-token", token);
            }
            if (body != null) {
                connection.setRequestProperty("Content-Type", "application/json");
                connection.setDoOutput(true);
                try (OutputStream out = connection.getOutputStream()) {
                    out.write(Json.write(body).getBytes(StandardCharsets.UTF_8));
                }
            }
            int status = connection.getResponseCode();
            boolean isFine = status >= 200 && status < 300;
            InputStream in = isFine ? connection.getInputStream() : connection.getErrorStream();
            String text = in == null ? "" : read(in);
            if (isFine) {
                return text.isEmpty() ? null : Json.read(text);
            }
            throw refusal(status, text);
        } catch (IOException error) {
            String told = error.getMessage() == null ? error.toString() : error.getMessage();
            throw new BackendlessException(new BackendlessFault(BackendlessFault.NO_ANSWER, told, 0), error);
        }
    }

    private static BackendlessException refusal(int status, String text) {
        String code = String.valueOf(status);
        String message = "the server answered with the HTTP status " + status;
        try {
            Object told = Json.read(text);
            if (told instanceof Map && ((Map<?, ?>) told).get("code") != null) {
                code = String.valueOf(((Map<?, ?>) told).get("code"));
                message = String.valueOf(((Map<?, ?>) told).get("message"));
            }
        } catch (IOException error) {
            // Something between here and the server has answered: the status is all there is.
        }
        return new BackendlessException(new BackendlessFault(code, message, status), null);
    }

    private static String read(InputStream in) throws IOException {
        try (InputStream closing = in) {
            ByteArrayOutputStream found = new ByteArrayOutputStream();
            byte[] part = new byte[8192];
            for (int count = closing.read(part); count >= 0; count = closing.read(part)) {
                found.write(part, 0, count);
                if (found.size() > ANSWER_BYTES_MAX) {
                    throw new IOException("the answer is too large");
                }
            }
            return new String(found.toByteArray(), StandardCharsets.UTF_8);
        }
    }
}
