package gameserver.backendless;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON text from and to maps, lists, strings, numbers, booleans and null. */
final class Json {
    private static final int DEPTH_MAX = 100;

    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    static Object read(String text) throws IOException {
        Json json = new Json(text);
        Object value = json.value();
        json.space();
        if (json.at < text.length()) {
            throw json.wrong();
        }
        return value;
    }

    static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(value, out, 0);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out, int depth) {
        if (depth > DEPTH_MAX) {
            throw new IllegalArgumentException("a value is nested too deep");
        }
        if (value instanceof Map) {
            String separator = "{";
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                out.append(separator);
                writeText(String.valueOf(entry.getKey()), out);
                out.append(':');
                write(entry.getValue(), out, depth + 1);
                separator = ",";
            }
            out.append(separator.equals("{") ? "{}" : "}");
        } else if (value instanceof Iterable) {
            String separator = "[";
            for (Object item : (Iterable<?>) value) {
                out.append(separator);
                write(item, out, depth + 1);
                separator = ",";
            }
            out.append(separator.equals("[") ? "[]" : "]");
        } else if (value == null || value instanceof Boolean) {
            out.append(value);
        } else if (value instanceof Number) {
            double number = ((Number) value).doubleValue();
            if (Double.isNaN(number) || Double.isInfinite(number)) {
                throw new IllegalArgumentException("JSON has no " + value);
            }
            out.append(value);
        } else if (value instanceof CharSequence) {
            writeText(value.toString(), out);
        } else {
            throw new IllegalArgumentException("a " + value.getClass().getName() + " cannot be sent");
        }
    }

    private static void writeText(String text, StringBuilder out) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < ' ' || Character.isSurrogate(c)) {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }

    private Object value() throws IOException {
        space();
        char c = at < text.length() ? text.charAt(at) : 0;
        if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX) {
                throw wrong();
            }
            Object found = c == '{' ? map() : list();
            depth--;
            return found;
        }
        if (c == '"') {
            return string();
        }
        if (text.startsWith("true", at)) {
            at += 4;
            return Boolean.TRUE;
        }
        if (text.startsWith("false", at)) {
            at += 5;
            return Boolean.FALSE;
        }
        if (text.startsWith("null", at)) {
            at += 4;
            return null;
        }
        return number();
    }

    private Map<String, Object> map() throws IOException {
        Map<String, Object> found = new LinkedHashMap<>();
        at++;
        if (next('}')) {
            return found;
        }
        do {
            space();
            String name = string();
            if (!next(':')) {
                throw wrong();
            }
            found.put(name, value());
        } while (next(','));
        if (!next('}')) {
            throw wrong();
        }
        return found;
    }

    private List<Object> list() throws IOException {
        List<Object> found = new ArrayList<>();
        at++;
        if (next(']')) {
            return found;
        }
        do {
            found.add(value());
        } while (next(','));
        if (!next(']')) {
            throw wrong();
        }
        return found;
    }

    private String string() throws IOException {
        if (at >= text.length() || text.charAt(at) != '"') {
            throw wrong();
        }
        StringBuilder found = new StringBuilder();
        for (at++; at < text.length(); at++) {
            char c = text.charAt(at);
            if (c == '"') {
                at++;
                return found.toString();
            }
            if (c < ' ') {
                throw wrong();
            }
            found.append(c == '\\' ? escaped() : c);
        }
        throw wrong();
    }

    private char escaped() throws IOException {
        at++;
        char c = at < text.length() ? text.charAt(at) : 0;
        int simple = "\"\\/bfnrt".indexOf(c);
        if (c != 0 && simple >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(simple);
        }
        if (c != 'u' || at + 4 >= text.length()) {
            throw wrong();
        }
        int code = 0;
        for (int i = 1; i <= 4; i++) {
            int digit = Character.digit(text.charAt(at + i), 16);
            if (digit < 0) {
                throw wrong();
            }
            code = code * 16 + digit;
        }
        at += 4;
        return (char) code;
    }

    private Number number() throws IOException {
        int begin = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String digits = text.substring(begin, at);
        try {
            if (digits.matches("-?(0|[1-9][0-9]{0,17})")) {
                long whole = Long.parseLong(digits);
                if (whole == (int) whole) {
                    return (int) whole;
                }
                return whole;
            }
            return Double.valueOf(digits);
        } catch (NumberFormatException error) {
            throw wrong();
        }
    }

    private boolean next(char wanted) {
        space();
        if (at < text.length() && text.charAt(at) == wanted) {
            at++;
            return true;
        }
        return false;
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private IOException wrong() {
        return new IOException("what the server answers is no JSON (at " + at + ")");
    }
}
