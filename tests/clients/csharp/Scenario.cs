using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using GameServer.Client;

/// <summary>Says, a line each, what happened: the test reads it.</summary>
static class Scenario
{
    static readonly string Url = Environment.GetEnvironmentVariable("SERVER_URL");
    static readonly string AppId = Environment.GetEnvironmentVariable("APP_ID");
    static readonly string Secret = Environment.GetEnvironmentVariable("APP_SECRET");

    static int Main(string[] arguments)
    {
        Task all = arguments[0] == "play" ? PlayAsync() : arguments[0] == "lose" ? LoseAsync() : ListenAsync(arguments[1]);
        all.GetAwaiter().GetResult();
        return 0;
    }

    static async Task Tell(string name, Func<Task<object>> work)
    {
        object told;
        try
        {
            told = await work();
        }
        catch (GameServerException error)
        {
            told = error.GetType().Name + " " + error.Status + "/" + error.ReasonCode;
        }
        Console.WriteLine(name + "=" + Json.Write(told));
    }

    static Settings NewSettings()
    {
        return new Settings(Url, AppId, Secret) { FirstPause = TimeSpan.FromMilliseconds(10) };
    }

    static async Task PlayAsync()
    {
        var store = new MemoryStore();
        var client = new GameClient(NewSettings(), store);
        await Tell("before", async () => await client.Entity.ReadByTypeAsync("knight"));
        await Tell("open", async () => (await client.AuthenticateUniversalAsync("nobody", "wrong", false)).GetText("x"));
        await Tell("login", async () => (await client.AuthenticateAnonymousAsync()).GetText("newUser"));
        string player = client.Session.ProfileId;
        await Tell("kept", async () =>
        {
            await Task.Yield();
            return store.Load().ProfileId == player;
        });
        await Tell("entity", async () =>
        {
            var data = new Dictionary<string, object>
            {
                ["name"] = "Zoë \"the\" 🙂\n",
                ["list"] = new object[] { 1, 2.5, 0.1f, null, true, long.MaxValue },
            };
            EntityService.EntityHeadData made = await client.Entity.CreateAsync("knight", data);
            EntityService.EntitiesData found = await client.Entity.ReadByTypeAsync("knight");
            return new object[]
            {
                made.Version, found.Entities.Count, found.Entities[0].EntityId == made.EntityId,
                found.Entities[0].Data, found.Entities[0].Acl["other"],
            };
        });
        await Tell("score", async () =>
        {
            await client.Leaderboard.PostScoreAsync("best", 42);
            var told = await client.Leaderboard.GetPlayerScoreAsync("best", -1);
            return told.Score.Score;
        });
        await Tell("together", async () =>
        {
            IReadOnlyList<Task<Reply>> calls = client.Send(
                new Call("time", "READ"), new Call("entity", "READ"), new Call("time", "READ"));
            bool first = (await calls[0]).GetWhole("server_time") > 0;
            try
            {
                await calls[1];
                return "fine";
            }
            catch (GameServerException error)
            {
                return first + " " + error.ReasonCode + " " + ((await calls[2]).GetWhole("server_time") > 0);
            }
        });
        await Tell("event", async () =>
        {
            var heard = new TaskCompletionSource<string>();
            client.EventReceived += told => throw new InvalidOperationException("a mistake of the game");
            client.EventReceived += told => heard.TrySetResult(told.GetText("eventType"));
            await client.Event.SendAsync(player, "hello", new Dictionary<string, object>());
            return await Task.WhenAny(heard.Task, Task.Delay(5000)) == heard.Task ? heard.Task.Result : "none";
        });
        await Tell("mistake", async () =>
        {
            try
            {
                return await client.CallAsync("time", "READ", new Dictionary<string, object> { ["when"] = DateTime.Now });
            }
            catch (ArgumentException error)
            {
                return error.Message;
            }
        });
        await Tell("logout", async () => (await client.LogOutAsync()).Members.Count);
        await Tell("after", async () => await client.Time.ReadAsync());
        await Tell("again", async () =>
        {
            await client.ReconnectAsync();
            return client.Session.ProfileId == player;
        });
        var other = new GameClient(NewSettings(), store);
        await Tell("replaced", async () =>
        {
            await other.ReconnectAsync();
            return await client.Time.ReadAsync();
        });
        await Tell("killed", async () =>
        {
            for (int i = 0; i < 11; i++)
            {
                try
                {
                    await other.Entity.ReadAsync("nothing");
                }
                catch (GameServerException)
                {
                    continue;
                }
            }
            return await other.Time.ReadAsync();
        });
        await Tell("revived", async () =>
        {
            other.ResetKillSwitch();
            return (await other.Time.ReadAsync()).GetWhole("server_time") > 0;
        });
        other.Dispose();
        await Tell("full disk", async () =>
        {
            using (var third = new GameClient(NewSettings(), new FullDisk()))
            {
                return (await third.AuthenticateUniversalAsync("third", "a password")).GetText("newUser");
            }
        });
        await Tell("disposed", async () =>
        {
            try
            {
                return await other.CallAsync("time", "READ");
            }
            catch (ObjectDisposedException)
            {
                return "disposed";
            }
        });
        client.Dispose();
    }

    sealed class FullDisk : IIdentityStore
    {
        public Identity Load()
        {
            return new Identity("an-id-of-before");
        }

        public void Save(Identity identity)
        {
            throw new IOException("no space left");
        }
    }

    /// <summary>To messages that arrive by themselves.</summary>
    static async Task ListenAsync(string protocol)
    {
        var links = new List<ILink>();
        Settings settings = NewSettings();
        settings.ReconnectPause = TimeSpan.FromMilliseconds(10);
        settings.RealtimeProtocols = new[] { protocol };
        settings.OpenLink = async (address, stop) =>
        {
            ILink link = await Links.OpenAsync(address, stop);
            links.Add(link);
            return link;
        };
        var store = new MemoryStore();
        var client = new GameClient(settings, store);
        await Tell("too early", async () => await client.CreateRealtime().OpenAsync());
        await client.AuthenticateAnonymousAsync();
        Realtime live = client.CreateRealtime();
        var connected = new TaskCompletionSource<string>();
        var heard = new TaskCompletionSource<Reply>();
        var ended = new TaskCompletionSource<GameServerException>();
        live.Connected += id => throw new InvalidOperationException("a mistake of the game");
        live.Connected += id => connected.TrySetResult(id);
        live.MessageReceived += told => heard.TrySetResult(told);
        live.Ended += error => ended.TrySetResult(error);
        string channel = AppId + ":gl:main";
        Func<Task<object>> say = async () =>
        {
            heard = new TaskCompletionSource<Reply>();
            await client.Chat.ChannelConnectAsync(channel, 0);
            await client.Chat.PostChatMessageSimpleAsync(channel, "Zoë 🙂", false);
            Reply told = await heard.Task;
            var content = new Reply(new Reply(told.GetObject("data")).GetObject("content"));
            return told.GetText("service") + " " + told.GetText("operation") + " " + (content.GetText("text") == "Zoë 🙂");
        };
        string first = await live.OpenAsync();
        await Tell("opened", async () =>
        {
            await Task.Yield();
            return live.ConnectionId == first && first.StartsWith(AppId + ":" + client.Session.ProfileId + ":");
        });
        await Tell("heard", say);
        connected = new TaskCompletionSource<string>();
        links[0].Dispose();
        await Tell("connected again", async () => await connected.Task != first);
        await Tell("heard again", say);
        var other = new GameClient(NewSettings(), store);
        await other.ReconnectAsync();
        await Tell("replaced", async () => throw await ended.Task);
        await client.ReconnectAsync();
        Realtime brief = client.CreateRealtime();
        brief.Ended += error => Console.WriteLine("ended=\"of one that the game has closed\"");
        await brief.OpenAsync();
        brief.Dispose();
        await Tell("links", async () =>
        {
            await Task.Yield();
            return links.Count;
        });
        other.Dispose();
        client.Dispose();
    }

    /// <summary>Behind something that loses answers.</summary>
    static async Task LoseAsync()
    {
        var client = new GameClient(NewSettings());
        await client.AuthenticateAnonymousAsync();
        await Tell("wins", async () =>
        {
            await client.PlayerStatistics.UpdateAsync(new Dictionary<string, object> { ["wins"] = 1 });
            return (await client.PlayerStatistics.ReadAsync()).Statistics["wins"];
        });
        await Tell("refused", async () => await client.CallAsync("time", "READ"));
        Settings quick = NewSettings();
        quick.Timeouts = new[] { TimeSpan.FromSeconds(0.2), TimeSpan.FromSeconds(0.2) };
        var hasty = new GameClient(quick);
        await Tell("given up", async () => await hasty.AuthenticateAnonymousAsync());
        hasty.Dispose();
        client.Dispose();
    }
}
