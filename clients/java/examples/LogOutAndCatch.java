import gameserver.backendless.*;

public class LogOutAndCatch {
    public static void main(String[] arguments) {
        Backendless.setUrl(System.getenv().getOrDefault("SERVER_URL", "http://127.0.0.1:8080"));
        Backendless.initApp("demo", "java-key");
        BackendlessUser user = new BackendlessUser();
        user.setEmail("ada@example.com");
        user.setPassword("open sesame");
        try {
            Backendless.UserService.register(user);
        } catch (BackendlessException error) {
            System.out.println("not registered: " + error.getCode() + " " + error.getMessage()); // 3033: there is such a user
        }
        try {
            Backendless.UserService.login("ada@example.com", "open sesame");
            Backendless.UserService.logout();
            System.out.println("logged out");
        } catch (BackendlessException error) {
            System.out.println("failed: " + error.getFault().getCode() + " " + error.getMessage());
        }
    }
}
