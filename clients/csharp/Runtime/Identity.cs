using System;

namespace GameServer.Client
{
    /// <summary>Who this installation is: kept by the game from one start to the next.</summary>
    public sealed class Identity
    {
        /// <summary>Make one; "" for what is not known.</summary>
        public Identity(string anonymousId = "", string profileId = "")
        {
            AnonymousId = anonymousId;
            ProfileId = profileId;
        }

        /// <summary>The id that anonymous logins name. A secret: who has it logs in as the player.</summary>
        public string AnonymousId { get; }

        /// <summary>The player of the last login.</summary>
        public string ProfileId { get; }
    }

    /// <summary>Keeps the <see cref="Identity"/>, in Unity for instance by PlayerPrefs.</summary>
    public interface IIdentityStore
    {
        /// <summary>Return what was kept; one without ids where nothing was.</summary>
        Identity Load();

        /// <summary>Keep it. What this throws, the login throws: an id that is not kept must not own a player.</summary>
        void Save(Identity identity);
    }

    /// <summary>Keeps the identity as long as the program runs.</summary>
    public sealed class MemoryStore : IIdentityStore
    {
        Identity kept = new Identity();

        /// <inheritdoc/>
        public Identity Load()
        {
            return kept;
        }

        /// <inheritdoc/>
        public void Save(Identity identity)
        {
            kept = identity;
        }
    }

    /// <summary>Who is logged in, where, and how long the server keeps it without a packet.</summary>
    public sealed class Session
    {
        internal Session(string id, string profileId, string appId, TimeSpan expiry)
        {
            Id = id;
            ProfileId = profileId;
            AppId = appId;
            Expiry = expiry;
        }

        /// <summary>The id of the session: a secret.</summary>
        public string Id { get; }

        /// <summary>The player.</summary>
        public string ProfileId { get; }

        /// <summary>The app; another one than that of the settings after a switch.</summary>
        public string AppId { get; }

        /// <summary>How long the session lives without a packet.</summary>
        public TimeSpan Expiry { get; }
    }

    /// <summary>One operation to run. `Data` is what <see cref="Json"/> can write.</summary>
    public sealed class Call
    {
        /// <summary>Name an operation and its parameters.</summary>
        public Call(string service, string operation, object data = null)
        {
            Service = service;
            Operation = operation;
            Data = data;
        }

        /// <summary>The service, as the protocol spells it.</summary>
        public string Service { get; }

        /// <summary>The operation, as the protocol spells it.</summary>
        public string Operation { get; }

        /// <summary>The parameters; null for none.</summary>
        public object Data { get; }
    }
}
