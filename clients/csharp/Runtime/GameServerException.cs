using System;
using System.Collections.Generic;

namespace GameServer.Client
{
    /// <summary>A call was refused, or its answer never arrived.</summary>
    public class GameServerException : Exception
    {
        internal GameServerException(int status, int reasonCode, string message, IDictionary<string, object> raw)
            : base(message)
        {
            Status = status;
            ReasonCode = reasonCode;
            Raw = raw ?? new Dictionary<string, object>();
        }

        /// <summary>The status of the refusal: 400, 403, … or 900 for what this client refuses itself.</summary>
        public int Status { get; }

        /// <summary>The reason, a number of the protocol.</summary>
        public int ReasonCode { get; }

        /// <summary>The whole refusal: some carry more.</summary>
        public IDictionary<string, object> Raw { get; }

        internal static GameServerException From(Reply raw)
        {
            int status = (int)(raw.GetWhole("status") ?? 0);
            int reason = (int)(raw.GetWhole("reason_code") ?? 0);
            string message = raw.GetText("status_message") ?? "";
            return SessionEndedException.Codes.Contains(reason)
                ? new SessionEndedException(status, reason, message, raw.Members)
                : new GameServerException(status, reason, message, raw.Members);
        }
    }

    /// <summary>Nobody is logged in: the session expired (40303), is missing (40304) or was replaced (40356).</summary>
    public sealed class SessionEndedException : GameServerException
    {
        internal const int NoSession = 40304;
        internal static readonly ICollection<int> Codes = new HashSet<int> { 40303, NoSession, 40356 };

        internal SessionEndedException(int status, int reason, string message, IDictionary<string, object> raw)
            : base(status, reason, message, raw)
        {
        }
    }

    /// <summary>Every try went without a usable answer. The calls may have run on the server, or not.</summary>
    public sealed class NoAnswerException : GameServerException
    {
        internal NoAnswerException(string message)
            : base(900, 90001, message, null)
        {
        }
    }

    /// <summary>One operation failed so often in a row that the client has stopped sending anything.</summary>
    public sealed class KillSwitchException : GameServerException
    {
        internal KillSwitchException(string message)
            : base(900, 90200, message, null)
        {
        }
    }
}
