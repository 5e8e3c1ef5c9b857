// Asks a web service that app.toml names. What does not answer is an answer, too: the game goes on.
function main() {
  var answer = bridge.getHttpClientServiceProxy().getResponseJson("weather", "today", {city: data.city}, null);
  if (answer.status != 200 || answer.data.statusCode != 200) {
    bridge.logWarning("the weather is unknown", answer.data ? "status " + answer.data.statusCode : answer.statusMessage);
    return {weather: "sunny", guessed: true};
  }
  return {weather: answer.data.json.weather, guessed: false};
}
main();
