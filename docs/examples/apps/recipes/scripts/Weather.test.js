// There is no such host: the script has to cope.
var ran = bridge.callScript("Weather", {city: "Ottawa"});
if (!ran.data.success) throw new Error(JSON.stringify(ran));
ran.data.response.guessed === true && ran.data.response.weather === "sunny";
