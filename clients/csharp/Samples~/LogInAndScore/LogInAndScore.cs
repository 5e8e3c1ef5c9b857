using GameServer.Client;
using UnityEngine;

/// <summary>Logs the player of this device in, and posts a score.</summary>
public sealed class LogInAndScore : MonoBehaviour
{
    [SerializeField] string url = "http://127.0.0.1:8080";
    [SerializeField] string appId = "10001";
    [SerializeField] string secret = "";
    [SerializeField] string leaderboardId = "main";

    GameClient client;

    async void Start()
    {
        client = new GameClient(new Settings(url, appId, secret) { Platform = "UNITY" }, new PrefsStore());
        client.EventReceived += told => Debug.Log("an event: " + told.GetText("eventType"));
        try
        {
            await client.AuthenticateAnonymousAsync();
            await client.Leaderboard.PostScoreAsync(leaderboardId: leaderboardId, score: 100);
            Debug.Log("posted a score as " + client.Session.ProfileId);
        }
        catch (GameServerException error)
        {
            Debug.LogError("refused: " + error.Status + "/" + error.ReasonCode + " " + error.Message);
        }
    }

    void OnDestroy()
    {
        client?.Dispose();
    }

    /// <summary>Keeps who this device is.</summary>
    sealed class PrefsStore : IIdentityStore
    {
        public Identity Load()
        {
            return new Identity(PlayerPrefs.GetString("anonymousId", ""), PlayerPrefs.GetString("profileId", ""));
        }

        public void Save(Identity identity)
        {
            PlayerPrefs.SetString("anonymousId", identity.AnonymousId);
            PlayerPrefs.SetString("profileId", identity.ProfileId);
            PlayerPrefs.Save();
        }
    }
}
