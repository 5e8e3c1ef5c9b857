using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;

namespace GameServer.Client
{
    /// <summary>Where the server is, which app is played, and what may differ between games.</summary>
    public sealed class Settings
    {
        /// <summary>Name the server, such as https://game.example.com, the id of the app and its secret.</summary>
        public Settings(string url, string appId, string secret = "")
        {
            Url = url.TrimEnd('/');
            if (!Url.EndsWith("/dispatcher", StringComparison.Ordinal))
            {
                Url += "/dispatcher";
            }
            AppId = appId;
            Secret = secret;
        }

        /// <summary>The address that packets are posted to.</summary>
        public string Url { get; }

        /// <summary>The id of the app.</summary>
        public string AppId { get; }

        /// <summary>What packets are signed with; "" where the app takes them unsigned.</summary>
        public string Secret { get; }

        /// <summary>Secrets of other apps, by id, for sessions that switch to them.</summary>
        public IDictionary<string, string> Secrets { get; } = new Dictionary<string, string>();

        /// <summary>The version of the game, which the server may refuse as too old.</summary>
        public string GameVersion { get; set; } = "1.0.0";

        /// <summary>The platform that a login names.</summary>
        public string Platform { get; set; } = "WINDOWS";

        /// <summary>The language of the player, in two letters.</summary>
        public string LanguageCode { get; set; } = "en";

        /// <summary>The country of the player, in two letters; "" asks nobody.</summary>
        public string CountryCode { get; set; } = "";

        /// <summary>
        /// How long each try of a packet waits for its answer. After the last one, or their sum, it is given up.
        /// </summary>
        public IList<TimeSpan> Timeouts { get; set; } = new[]
        {
            TimeSpan.FromSeconds(15), TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(35), TimeSpan.FromSeconds(50),
        };

        /// <summary>The pause after a first quick failure, such as a refused connection; it doubles …</summary>
        public TimeSpan FirstPause { get; set; } = TimeSpan.FromSeconds(0.5);

        /// <summary>… up to this.</summary>
        public TimeSpan LongestPause { get; set; } = TimeSpan.FromSeconds(8);

        /// <summary>Whether the client keeps the session alive while the game sends nothing.</summary>
        public bool Heartbeats { get; set; } = true;

        /// <summary>
        /// The pause before a real-time connection that broke is opened again; it doubles up to half a minute.
        /// </summary>
        public TimeSpan ReconnectPause { get; set; } = TimeSpan.FromSeconds(1);

        /// <summary>Which of the offered real-time connections are used: "ws", or "tcp" without WebSockets.</summary>
        public ICollection<string> RealtimeProtocols { get; set; } = new[] { "ws" };

        /// <summary>What opens real-time connections; another one where there is no ClientWebSocket.</summary>
        public Func<Uri, CancellationToken, Task<ILink>> OpenLink { get; set; } = Links.OpenAsync;

        /// <summary>How bytes travel; null: by HttpClient, which builds for the browser do not have.</summary>
        public ITransport Transport { get; set; }
    }
}
