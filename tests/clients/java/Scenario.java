import gameserver.backendless.AsyncCallback;
import gameserver.backendless.Backendless;
import gameserver.backendless.BackendlessException;
import gameserver.backendless.BackendlessFault;
import gameserver.backendless.BackendlessUser;
import gameserver.backendless.FileLoginStorage;
import java.io.File;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Says, a line each, what happened: the test reads it. */
public class Scenario {
    interface Work {
        Object run() throws Exception;
    }

    static void tell(String name, Work work) {
        Object told;
        try {
            told = work.run();
        } catch (BackendlessException error) {
            told = error.getFault().getCode() + "/" + error.getHttpStatusCode();
        } catch (Exception error) {
            told = error.toString();
        }
        System.out.println(name + "=" + told);
    }

    static <T> AsyncCallback<T> into(CompletableFuture<Object> future) {
        return new AsyncCallback<T>() {
            @Override
            public void handleResponse(T response) {
                future.complete(response);
            }

            @Override
            public void handleFault(BackendlessFault fault) {
                future.complete(fault.getCode());
            }
        };
    }

    public static void main(String[] arguments) {
        String url = System.getenv("SERVER_URL");
        Backendless.setUrl(url + "/");
        Backendless.setLoginStorage(new FileLoginStorage(new File(arguments[0])));
        Backendless.initApp("demo", "java-key");
        BackendlessUser user = new BackendlessUser();
        user.setEmail("bo@example.com");
        user.setPassword("open sesame");
        user.setProperty("city", "São \"Paulo\"\n\ud83d\ude42");
        user.setProperty("score", 7);
        user.setProperty("tags", Arrays.asList("a", Collections.singletonMap("b", 1.5), null, true));
        var service = Backendless.UserService;

        tell("registered", () -> service.register(user).getProperty("score").getClass().getSimpleName());
        tell("again", () -> service.register(user));
        tell("nobody", () -> service.getUserRoles() + " " + service.CurrentUser() + " " + service.isValidLogin());
        tell("wrong", () -> service.login("bo@example.com", "wrong"));
        tell("unknown", () -> service.login("nobody@example.com", "wrong"));
        tell("empty", () -> service.login("", "open sesame"));
        tell("missing", () -> service.login(null, "open sesame"));
        tell("login", () -> {
            BackendlessUser found = service.login("bo@example.com", "open sesame", true);
            return found.getProperty("city").equals(user.getProperty("city"))
                    + " " + found.getProperty("tags") + " " + found.getProperty("user-token")
                    + " " + found.getProperty("password") + " " + found.getObjectId().equals(service.loggedInUser());
        });
        tell("roles", service::getUserRoles);
        tell("updated", () -> {
            BackendlessUser changed = service.CurrentUser();
            changed.setProperty("city", "Oslo");
            return service.update(changed).getProperty("city") + " " + service.CurrentUser().getProperty("city");
        });

        Backendless.initApp("demo", "java-key"); // as after a restart
        tell("kept", () -> service.CurrentUser() + " " + service.isValidLogin()
                + " " + service.findById(service.loggedInUser()).getProperty("city"));
        Backendless.setUrl("http://127.0.0.1:1");
        Backendless.initApp("demo", "java-key");
        tell("away", () -> {
            service.logout();
            return null;
        });
        tell("still", service::loggedInUser);
        Backendless.setUrl(url);
        Backendless.initApp("demo", "java-key");
        String id = service.loggedInUser();
        tell("elsewhere", () -> { // as on another device: the newest login wins
            File other = new File(arguments[0], "other");
            Backendless.setLoginStorage(new FileLoginStorage(other));
            Backendless.initApp("demo", "java-key");
            service.login("bo@example.com", "open sesame");
            return id.equals(service.loggedInUser());
        });
        Backendless.setLoginStorage(new FileLoginStorage(new File(arguments[0])));
        Backendless.initApp("demo", "java-key");
        tell("ended", () -> service.loggedInUser().equals(id) + " " + service.isValidLogin());
        tell("deadLogout", () -> {
            service.logout();
            return null;
        });
        tell("after", () -> "'" + service.loggedInUser() + "' " + service.CurrentUser());
        Backendless.initApp("demo", "java-key");
        tell("afterRestart", () -> "'" + service.loggedInUser() + "'");
        tell("logoutOfNobody", () -> {
            service.logout();
            return "fine";
        });

        tell("callbacks", () -> {
            CompletableFuture<Object> wrong = new CompletableFuture<>();
            CompletableFuture<Object> fine = new CompletableFuture<>();
            CompletableFuture<Object> out = new CompletableFuture<>();
            service.login("bo@example.com", "wrong", into(wrong));
            service.login("bo@example.com", "open sesame", into(fine), true);
            String found = wrong.get(30, TimeUnit.SECONDS)
                    + " " + ((BackendlessUser) fine.get(30, TimeUnit.SECONDS)).getEmail();
            service.logout(into(out));
            return found + " " + out.get(30, TimeUnit.SECONDS) + " '" + service.loggedInUser() + "'";
        });
        tell("mistake", () -> {
            CompletableFuture<Object> future = new CompletableFuture<>();
            service.update(new BackendlessUser(), into(future));
            return future.get(30, TimeUnit.SECONDS);
        });
        tell("guest", () -> service.loginAsGuest().getProperty("userStatus") + " " + service.getUserRoles());
        Backendless.initApp("demo", "unknown");
        tell("unknownKey", () -> service.login("bo@example.com", "open sesame"));
        tell("unknownKeyAtLogout", () -> {
            service.logout();
            return null;
        });
    }
}
