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
        Task all = arguments[0] == "play" ? PlayAsync() : LoseAsync();
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
