package gameserver.backendless;

import java.io.File;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** Where a program begins: {@code Backendless.initApp(id, key)}, then {@code Backendless.UserService}. */
public final class Backendless {
    /** Registers users, logs them in and out. */
    public static final UserService UserService = new UserService();

    private static final long IDLE_SECONDS = 1;
    private static final int CALLS_AT_ONCE = 4;

    private static volatile String url = "http://127.0.0.1:8080";
    private static volatile LoginStorage storage =
            new FileLoginStorage(new File(System.getProperty("user.home", "."), ".gameserver"));
    private static volatile Executor callbacks = Runnable::run;
    // Its threads end when nothing is left to do, and keep the program alive until then.
    private static final ThreadPoolExecutor WORKERS = new ThreadPoolExecutor(
            CALLS_AT_ONCE, CALLS_AT_ONCE, IDLE_SECONDS, TimeUnit.SECONDS, new LinkedBlockingQueue<>());

    static {
        WORKERS.allowCoreThreadTimeOut(true);
    }

    private Backendless() {}

    /** Says where the server is, such as {@code https://game.example.com}. Before {@link #initApp}. */
    public static void setUrl(String url) {
        while (url.endsWith("/")) {
            url = url.substring(0, url.length() - 1);
        }
        Backendless.url = url;
    }

    /** Says where logins are kept that survive a restart; by default a folder of the user. Before {@link #initApp}. */
    public static void setLoginStorage(LoginStorage storage) {
        Backendless.storage = storage;
    }

    /**
     * Says where callbacks run: by default on the threads of the calls. On Android {@code new
     * Handler(Looper.getMainLooper())::post}.
     */
    public static void setCallbackExecutor(Executor executor) {
        callbacks = executor;
    }

    /** Names the app and the key of its version. A login that was kept is taken up. */
    public static void initApp(String applicationId, String apiKey) {
        UserService.begin(new Rest(url, applicationId, apiKey), applicationId, storage);
    }

    interface Blocking<T> {
        T call();
    }

    /** Does on a thread of its own what would block, and tells how it ended. */
    static <T> void inBackground(Blocking<T> work, AsyncCallback<T> callback) {
        WORKERS.execute(() -> {
            T response;
            try {
                response = work.call();
            } catch (BackendlessException error) {
                callbacks.execute(() -> callback.handleFault(error.getFault()));
                return;
            } catch (RuntimeException error) { // a mistake of the caller, who would not hear of it on this thread
                BackendlessFault fault = new BackendlessFault(BackendlessFault.NO_ANSWER, error.toString(), 0);
                callbacks.execute(() -> callback.handleFault(fault));
                return;
            }
            callbacks.execute(() -> callback.handleResponse(response));
        });
    }
}
