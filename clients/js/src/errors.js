// What a call ends with when it does not end with an answer.

export const NO_SESSION = 40304;
const SESSION_CODES = new Set([40303, NO_SESSION, 40356]);

/** A call was refused, or its answer never arrived. */
export class GameServerError extends Error {
  constructor(status, reasonCode, message, raw = {}) {
    super(message);
    this.name = new.target.name;
    this.status = status;
    this.reasonCode = reasonCode;
    this.raw = raw;
  }
}

/** Nobody is logged in: the session expired (40303), is missing (40304) or was replaced (40356). */
export class SessionEndedError extends GameServerError {}

/** Every try went without a usable answer. The call may have run on the server, or not. */
export class NoAnswerError extends GameServerError {
  constructor(message) {
    super(900, 90001, message);
  }
}

/** One operation failed so often in a row that the client has stopped sending anything. */
export class KillSwitchError extends GameServerError {
  constructor(message) {
    super(900, 90200, message);
  }
}

/** Make the error for a refusal of the server. */
export function errorFrom(refusal) {
  const { status, reason_code: code, status_message: message } = refusal;
  const Kind = SESSION_CODES.has(code) ? SessionEndedError : GameServerError;
  return new Kind(Number(status) || 0, Number(code) || 0, String(message ?? ""), refusal);
}

/** Make the error of a client without a session. */
export function noSession(why) {
  return new SessionEndedError(403, NO_SESSION, `no session: ${why}`);
}
