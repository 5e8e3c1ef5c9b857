using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading.Tasks;

namespace GameServer.Client
{
    /// <summary>
    /// A player's connection to the server. A call returns at once; its task ends with the answer, or with a
    /// <see cref="GameServerException"/>. Calls that wait travel together. Safe for use by several threads.
    /// </summary>
    public sealed partial class GameClient : IDisposable
    {
        const string Version = "0.1.0";

        readonly IIdentityStore store;
        readonly Packets packets;
        readonly Listeners listeners = new Listeners();
        readonly Settings settings;

        /// <summary>Make one. Nobody is logged in. Events are told where this is called, in Unity on its main thread.</summary>
        public GameClient(Settings settings, IIdentityStore store = null)
        {
            this.settings = settings;
            this.store = store ?? new MemoryStore();
            packets = new Packets(settings, OpenOperations, HandOver, KeepProfile);
        }

        /// <summary>Told of each event that comes with an answer.</summary>
        public event Action<Reply> EventReceived;

        /// <summary>Who is logged in; null for nobody.</summary>
        public Session Session
        {
            get { return packets.Session; }
        }

        /// <summary>Run an operation. The typed ones are easier: <c>client.Leaderboard.PostScoreToLeaderboardAsync(…)</c>.</summary>
        public Task<Reply> CallAsync(string service, string operation, object data = null)
        {
            return packets.Add(new[] { new Call(service, operation, data) })[0];
        }

        /// <summary>
        /// Run operations in one packet, in this order. They share a trip, not a fate: each has an answer of its own.
        /// </summary>
        public IReadOnlyList<Task<Reply>> Send(params Call[] calls)
        {
            return packets.Add(calls);
        }

        /// <summary>
        /// Log in as this installation. Ids that are not kept yet are made and kept first; see <see cref="IIdentityStore"/>.
        /// </summary>
        public Task<Reply> AuthenticateAnonymousAsync(bool forceCreate = true)
        {
            Identity identity = store.Load();
            if (identity.ProfileId == "") // the server wants both of a player whom it knows
            {
                identity = new Identity(Guid.NewGuid().ToString());
                store.Save(identity);
            }
            return AuthenticateAsync("Anonymous", identity.AnonymousId, "", forceCreate, identity.ProfileId);
        }

        /// <summary>Log in with a name and a password.</summary>
        public Task<Reply> AuthenticateUniversalAsync(string userId, string password, bool forceCreate = true)
        {
            return AuthenticateAsync("Universal", userId, password, forceCreate);
        }

        /// <summary>Log in with an e-mail address and a password.</summary>
        public Task<Reply> AuthenticateEmailAsync(string email, string password, bool forceCreate = true)
        {
            return AuthenticateAsync("Email", email, password, forceCreate);
        }

        /// <summary>Log in as the player of before, on this installation. Never makes a player.</summary>
        public Task<Reply> ReconnectAsync()
        {
            return AuthenticateAnonymousAsync(false);
        }

        /// <summary>
        /// Log in in any way that the server knows, such as "Steam" with an id and a ticket. With a profileId the login
        /// is refused when it is another player's. It goes ahead of calls that wait, in a packet of its own.
        /// </summary>
        public Task<Reply> AuthenticateAsync(
            string authenticationType,
            string externalId,
            string token,
            bool forceCreate = true,
            string profileId = "",
            IDictionary<string, object> extra = null)
        {
            var data = new Dictionary<string, object>
            {
                ["gameId"] = settings.AppId,
                ["externalId"] = externalId,
                ["authenticationToken"] = token,
                ["authenticationType"] = authenticationType,
                ["forceCreate"] = forceCreate,
                ["profileId"] = profileId,
                ["anonymousId"] = AnonymousId(),
                ["releasePlatform"] = settings.Platform,
                ["gameVersion"] = settings.GameVersion,
                ["clientLib"] = "csharp",
                ["clientLibVersion"] = Version,
                ["timeZoneOffset"] = TimeZoneInfo.Local.GetUtcOffset(DateTimeOffset.Now).TotalHours,
                ["languageCode"] = settings.LanguageCode,
                ["compressResponses"] = true,
            };
            if (settings.CountryCode != "")
            {
                data["countryCode"] = settings.CountryCode;
            }
            foreach (KeyValuePair<string, object> member in extra ?? new Dictionary<string, object>())
            {
                data[member.Key] = member.Value;
            }
            return CallAsync("authenticationV2", "AUTHENTICATE", data);
        }

        /// <summary>
        /// End the session, everywhere and at once. With forgetUser the next anonymous login is a new player's.
        /// </summary>
        public Task<Reply> LogOutAsync(bool forgetUser = false)
        {
            if (forgetUser)
            {
                store.Save(new Identity());
            }
            return CallAsync("playerState", "LOGOUT");
        }

        /// <summary>
        /// Make a connection on which messages arrive by themselves. It needs a session, and ends with it. Add listeners,
        /// then open it.
        /// </summary>
        public Realtime CreateRealtime()
        {
            return new Realtime(this, settings, listeners);
        }

        /// <summary>Send again after a <see cref="KillSwitchException"/>.</summary>
        public void ResetKillSwitch()
        {
            packets.ResetKillSwitch();
        }

        /// <summary>Send nothing more. What waits ends with a <see cref="NoAnswerException"/>; the session goes on.</summary>
        public void Dispose()
        {
            IsDisposed = true;
            packets.Close();
        }

        internal bool IsDisposed { get; private set; }

        string AnonymousId()
        {
            Identity identity = store.Load();
            if (identity.AnonymousId == "")
            {
                identity = new Identity(Guid.NewGuid().ToString(), identity.ProfileId);
                store.Save(identity);
            }
            return identity.AnonymousId;
        }

        void KeepProfile(string profileId)
        {
            try
            {
                Identity identity = store.Load();
                if (identity.ProfileId != profileId)
                {
                    store.Save(new Identity(identity.AnonymousId, profileId));
                }
            }
            catch (Exception error) // a full disk is no reason to lose the answer
            {
                Trace.TraceError("the identity could not be saved: " + error);
            }
        }

        void HandOver(IEnumerable<Reply> told)
        {
            foreach (Reply one in told)
            {
                listeners.Tell(EventReceived, one);
            }
        }
    }
}
