import gameserver.backendless.*;

public class LogOutInCallback {
    public static void main(String[] arguments) {
        Backendless.setUrl(System.getenv().getOrDefault("SERVER_URL", "http://127.0.0.1:8080"));
        Backendless.initApp("demo", "java-key");
        Backendless.UserService.login("ada@example.com", "open sesame", new AsyncCallback<BackendlessUser>() {
            @Override
            public void handleResponse(BackendlessUser user) {
                System.out.println("logged in " + user.getEmail());
                Backendless.UserService.logout(new AsyncCallback<Void>() {
                    @Override
                    public void handleResponse(Void response) {
                        System.out.println("logged out");
                    }

                    @Override
                    public void handleFault(BackendlessFault fault) {
                        System.out.println("not logged out: " + fault.getCode() + " " + fault.getMessage());
                    }
                });
            }

            @Override
            public void handleFault(BackendlessFault fault) {
                System.out.println("not logged in: " + fault.getCode() + " " + fault.getMessage());
            }
        });
    }
}
