using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Security.Cryptography;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace GameServer.Client
{
    /// <summary>
    /// Sends calls in numbered packets, one at a time. A packet keeps its number and its bytes until it is answered or
    /// given up: so the server can tell a repeated packet from a new one, and runs it once.
    /// </summary>
    sealed class Packets
    {
        const string Authenticate = "authenticationV2.AUTHENTICATE";
        const string LogOut = "playerState.LOGOUT";
        const string DeletePlayer = "playerState.FULL_PLAYER_RESET";
        const string Merge = "identity.MERGE";
        const double HeartbeatShare = 0.85; // of the session's life
        const int Unnumbered = -1; // the packetId of an answer to what the server could not read

        readonly Settings settings;
        readonly ISet<string> open;
        readonly Action<IEnumerable<Reply>> handOver;
        readonly Action<string> keepProfile;
        readonly ITransport transport;
        readonly Stopwatch clock = Stopwatch.StartNew();
        readonly Random random = new Random();
        readonly CancellationTokenSource stop = new CancellationTokenSource();

        readonly object gate = new object(); // around everything below
        readonly LinkedList<List<Pending>> waiting = new LinkedList<List<Pending>>(); // each list travels in one packet
        bool isSending;
        bool isBeating;
        bool isClosed;
        long nextId;
        int maxBundle = 10;
        int maxKillCount = 11;
        string failing = "";
        int failures;
        TimeSpan lastSent;
        Session session;
        GameServerException noSession = new SessionEndedException(
            403, SessionEndedException.NoSession, "no session: log in first", new Dictionary<string, object>());

        internal Packets(
            Settings settings,
            IEnumerable<string> open,
            Action<IEnumerable<Reply>> handOver,
            Action<string> keepProfile)
        {
            this.settings = settings;
            this.open = new HashSet<string>(open) { Authenticate };
            this.handOver = handOver;
            this.keepProfile = keepProfile;
            transport = settings.Transport ?? new HttpTransport();
        }

        internal Session Session
        {
            get
            {
                lock (gate)
                {
                    return session;
                }
            }
        }

        internal IReadOnlyList<Task<Reply>> Add(IReadOnlyCollection<Call> calls)
        {
            List<Pending> group = calls.Select(call => new Pending(call)).ToList();
            lock (gate)
            {
                if (isClosed)
                {
                    throw new ObjectDisposedException("GameClient");
                }
                if (group.Count > maxBundle)
                {
                    throw new ArgumentException("the server takes " + maxBundle + " calls in one packet");
                }
                if (group.Count > 1 && group.Any(pending => pending.Name == Authenticate))
                {
                    throw new ArgumentException("AUTHENTICATE travels alone");
                }
                if (group.Count > 0)
                {
                    waiting.AddLast(group);
                    Start();
                }
            }
            return group.Select(pending => pending.Done.Task).ToList();
        }

        internal void ResetKillSwitch()
        {
            lock (gate)
            {
                failing = "";
                failures = 0;
            }
        }

        internal void Close()
        {
            List<List<Pending>> left;
            lock (gate)
            {
                if (isClosed)
                {
                    return;
                }
                isClosed = true;
                left = waiting.ToList();
                waiting.Clear();
                session = null;
            }
            stop.Cancel();
            foreach (Pending pending in left.SelectMany(group => group))
            {
                pending.Refuse(new NoAnswerException("the client was closed"));
            }
            if (settings.Transport == null)
            {
                ((IDisposable)transport).Dispose();
            }
        }

        // Sending

        void Start()
        {
            if (!isSending)
            {
                isSending = true;
                Task.Run(SendAllAsync);
            }
        }

        async Task SendAllAsync()
        {
            while (true)
            {
                Packet packet;
                lock (gate)
                {
                    packet = Next();
                    if (packet == null)
                    {
                        isSending = false;
                        return;
                    }
                }
                await SendAsync(packet).ConfigureAwait(false);
            }
        }

        Packet Next()
        {
            List<Pending> calls = waiting.FirstOrDefault(group => group[0].Name == Authenticate);
            if (calls != null && failures < maxKillCount)
            {
                waiting.Remove(calls);
            }
            else
            {
                RefuseWhatCannotGo();
                calls = new List<Pending>();
                while (waiting.Count > 0 && (calls.Count == 0 || calls.Count + waiting.First.Value.Count <= maxBundle))
                {
                    calls.AddRange(waiting.First.Value);
                    waiting.RemoveFirst();
                }
            }
            if (calls.Count == 0)
            {
                return null;
            }
            lastSent = clock.Elapsed;
            Session under = calls[0].Name == Authenticate ? null : session;
            return Seal(nextId++, under, calls);
        }

        void RefuseWhatCannotGo()
        {
            List<List<Pending>> groups = waiting.ToList();
            waiting.Clear();
            foreach (List<Pending> group in groups)
            {
                var passed = new List<Pending>();
                foreach (Pending pending in group)
                {
                    GameServerException obstacle = Obstacle(pending);
                    if (obstacle == null)
                    {
                        passed.Add(pending);
                    }
                    else
                    {
                        pending.Refuse(obstacle);
                    }
                }
                if (passed.Count > 0)
                {
                    waiting.AddLast(passed);
                }
            }
        }

        GameServerException Obstacle(Pending pending)
        {
            if (failures >= maxKillCount)
            {
                return new KillSwitchException(failing + " failed " + failures + " times in a row");
            }
            return session == null && !open.Contains(pending.Name) ? noSession : null;
        }

        Packet Seal(long id, Session under, List<Pending> calls)
        {
            string appId = under == null ? settings.AppId : under.AppId;
            string body = "{\"packetId\":" + id.ToString(CultureInfo.InvariantCulture)
                + ",\"sessionId\":" + Json.Write(under == null ? "" : under.Id)
                + ",\"gameId\":" + Json.Write(appId)
                + ",\"messages\":[" + string.Join(",", calls.Select(pending => pending.Message)) + "]}";
            string secret;
            if (appId == settings.AppId || !settings.Secrets.TryGetValue(appId, out secret))
            {
                secret = settings.Secret;
            }
            var headers = new Dictionary<string, string>();
            if (secret != "")
            {
                using (MD5 digest = MD5.Create()) // of the protocol
                {
                    byte[] sum = digest.ComputeHash(Encoding.UTF8.GetBytes(body + secret));
                    headers["X-SIG"] = BitConverter.ToString(sum).Replace("-", "");
                }
            }
            if (appId != "")
            {
                headers["X-APPID"] = appId;
            }
            return new Packet(id, calls, Encoding.UTF8.GetBytes(body), headers);
        }

        async Task SendAsync(Packet packet)
        {
            TimeSpan deadline = clock.Elapsed + settings.Timeouts.Aggregate(TimeSpan.Zero, (sum, one) => sum + one);
            int useless = 0; // tries that timed out, or were answered with something unreadable
            int quick = 0;
            while (true)
            {
                TimeSpan pause = TimeSpan.Zero;
                string trouble;
                try
                {
                    TimeSpan left = deadline - clock.Elapsed;
                    TimeSpan patience = settings.Timeouts[useless];
                    patience = left > TimeSpan.Zero && left < patience ? left : patience;
                    HttpAnswer answer = await transport.PostAsync(
                        settings.Url, packet.Body, packet.Headers, patience, stop.Token).ConfigureAwait(false);
                    if (answer.Status == 200)
                    {
                        trouble = Take(packet, answer.Body);
                        if (trouble == null)
                        {
                            return;
                        }
                        useless++;
                    }
                    else
                    {
                        trouble = "HTTP " + answer.Status;
                        if (answer.Status != 429 && answer.Status != 502 && answer.Status != 503 && answer.Status != 504)
                        {
                            GiveUp(packet, trouble + " from the server's address");
                            return;
                        }
                    }
                    pause = Pause(quick++);
                }
                catch (TimeoutException error)
                {
                    useless++;
                    trouble = error.Message;
                }
                catch (Exception error) when (!stop.IsCancellationRequested) // whatever it is, callers must hear of it
                {
                    trouble = error.Message;
                    pause = Pause(quick++);
                }
                catch (Exception)
                {
                    GiveUp(packet, "the client was closed");
                    return;
                }
                if (useless >= settings.Timeouts.Count || clock.Elapsed + pause >= deadline)
                {
                    GiveUp(packet, trouble);
                    return;
                }
                await Task.WhenAny(Task.Delay(pause, stop.Token)).ConfigureAwait(false); // also when it is cancelled
            }
        }

        TimeSpan Pause(int failed)
        {
            double seconds = Math.Min(
                settings.LongestPause.TotalSeconds, settings.FirstPause.TotalSeconds * Math.Pow(2, Math.Min(failed, 30)));
            return TimeSpan.FromSeconds(seconds * (0.5 + random.NextDouble() / 2));
        }

        void GiveUp(Packet packet, string trouble)
        {
            foreach (Pending pending in packet.Calls)
            {
                pending.Refuse(new NoAnswerException("packet " + packet.Id + " was not answered: " + trouble));
            }
        }

        // Answers

        /// <summary>Settle the calls of a packet. Returns what is wrong with an answer that is none; null for nothing.</summary>
        string Take(Packet packet, string body)
        {
            List<Reply> answers;
            List<Reply> told;
            try
            {
                answers = Read(packet, body, out told);
            }
            catch (FormatException error)
            {
                return error.Message;
            }
            var settled = new List<Action>();
            string profileId = null;
            lock (gate)
            {
                for (int i = 0; i < answers.Count; i++)
                {
                    settled.Add(Settle(packet.Calls[i], answers[i], ref profileId));
                }
                if (session != null && settings.Heartbeats && !isBeating)
                {
                    isBeating = true;
                    Task.Run(BeatAsync);
                }
            }
            if (profileId != null)
            {
                keepProfile(profileId);
            }
            settled.ForEach(settle => settle());
            handOver(told);
            return null;
        }

        static List<Reply> Read(Packet packet, string body, out List<Reply> told)
        {
            var document = new Reply(Json.Read(body) as IDictionary<string, object>);
            long? id = document.GetWhole("packetId");
            var found = document.Get("responses") as IList<object>;
            if (found == null || id != packet.Id && id != Unnumbered)
            {
                throw new FormatException("the answer does not belong to packet " + packet.Id);
            }
            List<Reply> answers = found.Select(one => new Reply(one as IDictionary<string, object>)).ToList();
            if (id == Unnumbered && answers.Count == 1) // the server could not count the calls
            {
                answers = packet.Calls.Select(_ => answers[0]).ToList();
            }
            if (answers.Count != packet.Calls.Count)
            {
                throw new FormatException(answers.Count + " answers to " + packet.Calls.Count + " calls");
            }
            for (int i = 0; i < answers.Count; i++)
            {
                Check(packet.Calls[i], answers[i]);
            }
            told = document.GetMany("events", one => new Reply(one as IDictionary<string, object>)).ToList();
            return answers;
        }

        static void Check(Pending pending, Reply answer)
        {
            long? status = answer.GetWhole("status");
            bool isLogin = pending.Name == Authenticate;
            var data = new Reply(answer.GetObject("data"));
            bool isFine = status != null && (status != 200
                || (answer.Get("data") == null || answer.GetObject("data") != null)
                && !(isLogin && (string.IsNullOrEmpty(data.GetText("sessionId")) || string.IsNullOrEmpty(data.GetText("profileId")))));
            if (!isFine)
            {
                throw new FormatException("an answer to " + pending.Name + " that makes no sense");
            }
        }

        Action Settle(Pending pending, Reply answer, ref string profileId)
        {
            if (answer.GetWhole("status") == 200)
            {
                ResetKillSwitch();
                var data = new Reply(answer.GetObject("data"));
                NoteSuccess(pending, data, ref profileId);
                return () => pending.Done.TrySetResult(data);
            }
            GameServerException error = GameServerException.From(answer);
            if (error is SessionEndedException)
            {
                EndSession(error);
            }
            if (!pending.IsHeartbeat)
            {
                failures = failing == pending.Name ? failures + 1 : 1;
                failing = pending.Name;
            }
            return () => pending.Refuse(error);
        }

        void NoteSuccess(Pending pending, Reply data, ref string profileId)
        {
            if (pending.Name == Authenticate)
            {
                Begin(data);
                profileId = session.ProfileId;
            }
            else if (pending.Name == LogOut || pending.Name == DeletePlayer)
            {
                EndSession(new SessionEndedException(
                    403, SessionEndedException.NoSession, "no session: logged out", new Dictionary<string, object>()));
                profileId = pending.Name == DeletePlayer ? "" : profileId;
            }
            else if (session != null && (pending.Service == "identity" || pending.Service == "authenticationV2"))
            {
                session = new Session(
                    data.GetText("sessionId") ?? session.Id,
                    data.GetText("profileId") ?? session.ProfileId,
                    data.GetText("switchToAppId") ?? session.AppId,
                    session.Expiry);
                profileId = pending.Name == Merge ? session.ProfileId : profileId; // who stays is who comes back
            }
        }

        void Begin(Reply data)
        {
            session = new Session(
                data.GetText("sessionId"),
                data.GetText("profileId"),
                data.GetText("switchToAppId") ?? settings.AppId,
                TimeSpan.FromSeconds(AboveZero(data.GetNumber("playerSessionExpiry"), 300)));
            maxBundle = (int)AboveZero(data.GetNumber("maxBundleMsgs"), maxBundle);
            maxKillCount = (int)AboveZero(data.GetNumber("maxKillCount"), maxKillCount);
        }

        static double AboveZero(double? told, double otherwise)
        {
            return told > 0 ? told.Value : otherwise;
        }

        void EndSession(GameServerException why)
        {
            session = null;
            noSession = why;
        }

        // Keeping the session alive

        async Task BeatAsync()
        {
            while (true)
            {
                TimeSpan pause;
                lock (gate)
                {
                    if (session == null || isClosed)
                    {
                        isBeating = false;
                        return;
                    }
                    TimeSpan due = lastSent + TimeSpan.FromSeconds(session.Expiry.TotalSeconds * HeartbeatShare);
                    pause = due - clock.Elapsed;
                    if (pause <= TimeSpan.Zero)
                    {
                        if (waiting.Count == 0 && !isSending)
                        {
                            waiting.AddLast(new List<Pending> { new Pending(new Call("heartbeat", "READ"), true) });
                            Start();
                        }
                        pause = TimeSpan.FromSeconds(1);
                    }
                }
                await Task.WhenAny(Task.Delay(pause, stop.Token)).ConfigureAwait(false);
            }
        }

        /// <summary>A call that waits for its answer.</summary>
        sealed class Pending
        {
            internal readonly string Service;
            internal readonly string Name;
            internal readonly string Message;
            internal readonly bool IsHeartbeat;
            internal readonly TaskCompletionSource<Reply> Done =
                new TaskCompletionSource<Reply>(TaskCreationOptions.RunContinuationsAsynchronously);

            internal Pending(Call call, bool isHeartbeat = false)
            {
                Service = call.Service;
                Name = call.Service + "." + call.Operation;
                IsHeartbeat = isHeartbeat;
                Message = Json.Write(new Dictionary<string, object>
                {
                    ["service"] = call.Service,
                    ["operation"] = call.Operation,
                    ["data"] = call.Data ?? new Dictionary<string, object>(),
                });
            }

            internal void Refuse(GameServerException error)
            {
                Done.TrySetException(error);
                if (IsHeartbeat)
                {
                    GC.KeepAlive(Done.Task.Exception); // nobody waits for it
                }
            }
        }

        sealed class Packet
        {
            internal readonly long Id;
            internal readonly IReadOnlyList<Pending> Calls;
            internal readonly byte[] Body;
            internal readonly IDictionary<string, string> Headers;

            internal Packet(long id, IReadOnlyList<Pending> calls, byte[] body, IDictionary<string, string> headers)
            {
                Id = id;
                Calls = calls;
                Body = body;
                Headers = headers;
            }
        }
    }
}
