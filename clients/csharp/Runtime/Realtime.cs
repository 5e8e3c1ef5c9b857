using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace GameServer.Client
{
    /// <summary>
    /// A connection that stays open, on which messages arrive by themselves. It is opened again when it breaks, each
    /// time after a longer pause; it ends with the session, or when the server refuses it. Its events are told where
    /// the client's are.
    /// </summary>
    public sealed class Realtime : IDisposable
    {
        static readonly TimeSpan AnswerTimeMax = TimeSpan.FromSeconds(10);
        static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);
        static readonly byte[] Heartbeat = Message("HEARTBEAT", null);

        readonly GameClient client;
        readonly Settings settings;
        readonly Listeners listeners;
        readonly Random random = new Random();
        readonly CancellationTokenSource stop = new CancellationTokenSource();
        readonly TaskCompletionSource<string> opened =
            new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        TimeSpan pause;
        int isRunning;

        internal Realtime(GameClient client, Settings settings, Listeners listeners)
        {
            this.client = client;
            this.settings = settings;
            this.listeners = listeners;
        }

        /// <summary>Told of each message: `service`, `operation` and `data`.</summary>
        public event Action<Reply> MessageReceived;

        /// <summary>
        /// Told of the id of each connection, also after a break: the moment to join channels, and to read what was
        /// missed.
        /// </summary>
        public event Action<string> Connected;

        /// <summary>Told why there will be no connection any more, unless this was disposed of.</summary>
        public event Action<GameServerException> Ended;

        /// <summary>The id of the connection; "" while there is none.</summary>
        public string ConnectionId { get; private set; } = "";

        /// <summary>
        /// Connect. The task ends with the id of the first connection, or with why there will be none. Add listeners
        /// first.
        /// </summary>
        public Task<string> OpenAsync()
        {
            if (Interlocked.Exchange(ref isRunning, 1) == 0)
            {
                Task.Run(RunAsync);
            }
            return opened.Task;
        }

        /// <summary>Disconnect, for good.</summary>
        public void Dispose()
        {
            stop.Cancel();
        }

        async Task RunAsync()
        {
            GameServerException end = null;
            while (end == null && !stop.IsCancellationRequested)
            {
                try
                {
                    await ConnectAsync().ConfigureAwait(false);
                }
                catch (GameServerException error) when (!(error is NoAnswerException))
                {
                    end = error;
                }
                catch (ObjectDisposedException) when (client.IsDisposed)
                {
                    end = new NoAnswerException("the client was closed");
                }
                catch (Exception) // it broke, or could not be made: again, after a pause
                {
                    ConnectionId = "";
                    await RestAsync().ConfigureAwait(false);
                }
            }
            ConnectionId = "";
            bool isWanted = end != null && !stop.IsCancellationRequested;
            end = end ?? new NoAnswerException("the connection was closed");
            if (opened.TrySetException(end))
            {
                GC.KeepAlive(opened.Task.Exception); // who does not wait for it is told by the event
            }
            if (isWanted)
            {
                listeners.Tell(Ended, end);
            }
        }

        /// <summary>Stay connected until the connection breaks, of which this throws the reason.</summary>
        async Task ConnectAsync()
        {
            Reply offered = await client.CallAsync("rttRegistration", "REQUEST_CLIENT_CONNECTION").ConfigureAwait(false);
            Session session = client.Session;
            if (session == null)
            {
                throw new SessionEndedException(403, SessionEndedException.NoSession, "no session: log in first", null);
            }
            using (var over = CancellationTokenSource.CreateLinkedTokenSource(stop.Token))
            {
                over.CancelAfter(AnswerTimeMax);
                using (ILink link = await OpenLinkAsync(offered, over.Token).ConfigureAwait(false))
                {
                    byte[] hello = Hello(session, offered.GetObject("auth"));
                    await link.SendAsync(hello, over.Token).ConfigureAwait(false);
                    Reply welcome = Welcome(await link.ReceiveAsync(over.Token).ConfigureAwait(false));
                    over.CancelAfter(Timeout.InfiniteTimeSpan);
                    pause = TimeSpan.Zero;
                    ConnectionId = welcome.GetText("cxId") ?? "";
                    opened.TrySetResult(ConnectionId);
                    listeners.Tell(Connected, ConnectionId);
                    Task beating = BeatAsync(link, welcome.GetNumber("heartbeatSeconds") ?? 30, over.Token);
                    try
                    {
                        await ListenAsync(link, over.Token).ConfigureAwait(false);
                    }
                    finally
                    {
                        over.Cancel();
                        await Task.WhenAny(beating).ConfigureAwait(false);
                        GC.KeepAlive(beating.Exception); // that of listening tells more
                    }
                }
            }
        }

        async Task<ILink> OpenLinkAsync(Reply offered, CancellationToken over)
        {
            Exception trouble = new NotSupportedException("the server offers no connection that is spoken here");
            foreach (Reply endpoint in offered.GetMany("endpoints", one => new Reply(one as IDictionary<string, object>)))
            {
                string protocol = endpoint.GetText("protocol");
                if (!settings.RealtimeProtocols.Contains(protocol))
                {
                    continue;
                }
                try
                {
                    return await settings.OpenLink(Address(protocol, endpoint, offered), over).ConfigureAwait(false);
                }
                catch (Exception error)
                {
                    trouble = error;
                }
            }
            throw trouble;
        }

        static Uri Address(string protocol, Reply endpoint, Reply offered)
        {
            string host = endpoint.GetText("host") ?? "";
            host = host.Contains(":") ? "[" + host + "]" : host;
            string scheme = protocol + (endpoint.GetFlag("ssl") == true ? "s" : "");
            IEnumerable<string> query = (offered.GetObject("auth") ?? new Dictionary<string, object>())
                .Select(part => Uri.EscapeDataString(part.Key) + "=" + Uri.EscapeDataString(part.Value as string ?? ""));
            return new Uri(scheme + "://" + host + ":" + endpoint.GetWhole("port") + "/?" + string.Join("&", query));
        }

        static byte[] Hello(Session session, IDictionary<string, object> auth)
        {
            return Message("CONNECT", new Dictionary<string, object>
            {
                ["appId"] = session.AppId,
                ["profileId"] = session.ProfileId,
                ["sessionId"] = session.Id,
                ["system"] = new Dictionary<string, object> { ["protocol"] = "ws", ["platform"] = "CSHARP" },
                ["auth"] = auth,
            });
        }

        static byte[] Message(string operation, object data)
        {
            return Encoding.UTF8.GetBytes(Json.Write(new Dictionary<string, object>
            {
                ["service"] = "rtt",
                ["operation"] = operation,
                ["data"] = data,
            }));
        }

        static Reply Read(byte[] message)
        {
            return new Reply(Json.Read(Encoding.UTF8.GetString(message)) as IDictionary<string, object>);
        }

        static Reply Welcome(byte[] message)
        {
            Reply told = Read(message);
            if (told.GetText("operation") != "CONNECT")
            {
                throw Goodbye(told);
            }
            return new Reply(told.GetObject("data"));
        }

        /// <summary>What the server's last words mean: the end, or a reason to connect again.</summary>
        static Exception Goodbye(Reply told)
        {
            var data = new Reply(told.GetObject("data"));
            int code = (int)(data.GetWhole("reasonCode") ?? 0);
            string reason = data.GetText("reason") ?? "";
            return SessionEndedException.Codes.Contains(code)
                ? new SessionEndedException(403, code, reason, data.Members)
                : (Exception)new IOException(code + " " + reason);
        }

        async Task ListenAsync(ILink link, CancellationToken over)
        {
            while (true)
            {
                Reply told = Read(await link.ReceiveAsync(over).ConfigureAwait(false));
                if (told.GetText("service") != "rtt")
                {
                    listeners.Tell(MessageReceived, told);
                }
                else if (told.GetText("operation") == "DISCONNECT")
                {
                    throw Goodbye(told);
                }
            }
        }

        static async Task BeatAsync(ILink link, double seconds, CancellationToken over)
        {
            while (true)
            {
                await Task.Delay(TimeSpan.FromSeconds(seconds), over).ConfigureAwait(false);
                await link.SendAsync(Heartbeat, over).ConfigureAwait(false);
            }
        }

        async Task RestAsync()
        {
            double seconds = pause == TimeSpan.Zero
                ? settings.ReconnectPause.TotalSeconds
                : Math.Min(2 * pause.TotalSeconds, LongestPause.TotalSeconds);
            pause = TimeSpan.FromSeconds(seconds);
            TimeSpan rest = TimeSpan.FromSeconds(seconds * (0.5 + random.NextDouble() / 2)); // never all at once
            await Task.WhenAny(Task.Delay(rest, stop.Token)).ConfigureAwait(false);
        }
    }
}
