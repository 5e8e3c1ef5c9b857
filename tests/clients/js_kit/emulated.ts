/** A test of a game in TypeScript, as it is written with the helper for the emulator: every call, with its types. */

import { type Emulator, type EmulatorOptions, startEmulator } from "gameserver-emulator";

const ADA = {
  type: "player",
  profileId: "ada",
  identities: [{ authenticationType: "Anonymous", externalId: "device-1" }],
};
const options: EmulatorOptions = { options: ["--seed", "7"], command: process.env["SERVER_COMMAND"] ?? "gameserver" };
const emulator: Emulator = await startEmulator(options);
try {
  const place: string = `${emulator.url} ${emulator.appId} ${emulator.secret.length > 20}`;
  const began: number = await emulator.now();
  const later: number = await emulator.advance(60);
  const taken: Record<string, number> = await emulator.seed([ADA]);
  await emulator.snapshot("one");
  const same: Record<string, number> = await emulator.seed(`${JSON.stringify(ADA)}\n`);
  await emulator.restore("one");
  await emulator.forget("one");
  const refused: unknown = await emulator.restore("one").catch((error: unknown) => error);
  await emulator.reset();
  console.log(JSON.stringify([place.endsWith("true"), later - began, taken, same, refused instanceof Error]));
} finally {
  await emulator.stop();
}

// What the types refuse.

// @ts-expect-error: only `startEmulator` makes one
export const made = (): Emulator => new Emulator("http://127.0.0.1:1", "", "");
// @ts-expect-error: the url stays as it is
export const moved = (): void => void (emulator.url = "");
// @ts-expect-error: there is no such option
export const odd = (): Promise<Emulator> => startEmulator({ port: 8080 });
// @ts-expect-error: lines are objects or the text of all of them
export const lines = (): unknown => emulator.seed(["{}"]);
