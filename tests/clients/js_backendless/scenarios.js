// Each scenario prints one JSON object of what the client was told; the test suite judges it.
const { client, server, restarted, told, somebody } = require("./environment");

const scenarios = {
  async session() {
    const app = client();
    const info = await app.appInfoPromise();
    const user = { ...somebody(), city: "Oslo", score: 7 };
    const registered = await told(app.Users.register(user));
    const current = await app.Users.getCurrentUser();
    const again = await told(app.Users.register(user));
    const login = await told(app.Users.login(user.email, user.password, true));
    const valid = await told(app.Users.isValidLogin());
    const roles = await told(app.Users.getUserRoles());
    const token = app.getCurrentUserToken();
    const logout = await told(app.Users.logout());
    const after = { user: app.Users.currentUser, token: app.getCurrentUserToken() };
    app.setCurrentUserToken(token);
    app.Users.setCurrentUser({ objectId: login.result.objectId, "user-token": token }, true);
    const deadValid = await told(app.Users.isValidLogin());
    const deadRoles = await told(app.Users.getUserRoles());
    const deadLogout = await told(app.Users.logout());
    const end = { user: app.Users.currentUser, token: app.getCurrentUserToken() };
    const nobody = await told(app.Users.getUserRoles());
    return { info, user, registered, current, again, login, valid, roles, logout, after, deadValid, deadRoles, deadLogout, end, nobody };
  },

  async wrong() {
    const app = client();
    const user = somebody();
    await app.Users.register(user);
    return {
      password: await told(app.Users.login(user.email, "guess")),
      identity: await told(app.Users.login("nobody at all", "guess")),
      byId: await told(app.Users.login("some-object-id")),
      empty: await told(app.Users.register({})),
    };
  },

  async guest() {
    const app = client();
    const login = await told(app.Users.loginAsGuest(true));
    const roles = await told(app.Users.getUserRoles());
    const user = { ...somebody(), objectId: login.result.objectId };
    const registered = await told(app.Users.register(user));
    const rolesAfter = await told(app.Users.getUserRoles());
    await app.Users.logout();
    const again = await told(app.Users.login(user.email, user.password));
    return { login, roles, registered, rolesAfter, again };
  },

  // What the program stored is all that is left of the login when it starts again.
  async restart() {
    const before = client();
    const user = { ...somebody(), city: "Rome" };
    await before.Users.register(user);
    const login = await told(before.Users.login(user.email, user.password, true));
    const app = restarted(before);
    const info = await told(app.appInfoPromise());
    const valid = await told(app.Users.isValidLogin());
    const current = await told(app.Users.getCurrentUser());
    return { login, info, valid, current };
  },

  async other_device() {
    const [one, two] = [client(), client()];
    const user = somebody();
    await one.Users.register(user);
    await one.Users.login(user.email, user.password, true);
    await two.Users.login(user.email, user.password, true);
    return { one: await told(one.Users.isValidLogin()), two: await told(two.Users.isValidLogin()) };
  },

  async update() {
    const app = client();
    const user = somebody();
    await app.Users.register(user);
    const me = await app.Users.login(user.email, user.password);
    me.city = "Paris";
    me.tags = ["a", { b: 1 }];
    const updated = await told(app.Users.update(me));
    const reloaded = await told(app.Users.getCurrentUser(true));
    const tooLong = await told(app.Users.update({ objectId: me.objectId, city: "x".repeat(41) }));
    const other = await app.Users.register(somebody());
    const another = await told(app.Users.update({ objectId: other.objectId, city: "Bonn" }));
    const columns = await told(app.Users.describeUserClass());
    return { updated, reloaded, tooLong, another, columns };
  },

  async roles() {
    const [app, studio] = [client(), server()];
    const user = somebody();
    const registered = await app.Users.register(user);
    await app.Users.login(user.email, user.password);
    const byClient = await told(app.Users.assignRole(user.email, "Moderator"));
    const assigned = await told(studio.Users.assignRole(user.email, "Moderator"));
    const mine = await told(app.Users.getUserRoles());
    const found = await told(studio.Users.findByRole("Moderator", true, { pageSize: 100, offset: 0 }));
    const system = await told(studio.Users.assignRole(user.email, "AuthenticatedUser"));
    const unsystem = await told(studio.Users.unassignRole(user.email, "AuthenticatedUser"));
    const unknown = await told(studio.Users.assignRole(user.email, "Nonexistent"));
    const unassigned = await told(studio.Users.unassignRole(registered.objectId, "Moderator"));
    const after = await told(studio.Users.getUserRoles(registered.objectId));
    return { registered, byClient, assigned, mine, found, system, unsystem, unknown, unassigned, after };
  },

  async status() {
    const [app, studio] = [client(), server()];
    const user = somebody();
    const { objectId } = await app.Users.register(user);
    await app.Users.login(user.email, user.password, true);
    const byClient = await told(app.Users.disableUser(objectId));
    const disabled = await told(studio.Users.disableUser(objectId));
    const valid = await told(app.Users.isValidLogin());
    const refused = await told(client().Users.login(user.email, user.password));
    const logout = await told(app.Users.logout());
    const left = app.getCurrentUserToken();
    const seen = await told(studio.Data.of("Users").findById(objectId));
    const enabled = await told(studio.Users.enableUser(objectId));
    const login = await told(app.Users.login(user.email, user.password));
    return { byClient, disabled, valid, refused, logout, left, seen, enabled, login };
  },

  async password() {
    const [app, studio] = [client(), server()];
    const user = somebody();
    await app.Users.register(user);
    const { objectId } = await app.Users.login(user.email, user.password);
    const byClient = await told(app.Users.verifyPassword(user.password));
    await studio.Users.login(objectId);
    const right = await told(studio.Users.verifyPassword(user.password));
    const wrong = await told(studio.Users.verifyPassword("guess"));
    const restore = await told(app.Users.restorePassword(user.email));
    const nobody = await told(app.Users.restorePassword("nobody@example.com"));
    const resent = await told(app.Users.resendEmailConfirmation(user.email));
    const url = await told(studio.Users.createEmailConfirmationURL(user.email));
    const urlByClient = await told(app.Users.createEmailConfirmationURL(user.email));
    return { byClient, right, wrong, restore, nobody, resent, url, urlByClient };
  },
};

scenarios[process.argv[2]]().then(
  (answers) => {
    process.stdout.write(`${JSON.stringify(answers)}\n`, () => process.exit(0));
  },
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
