/** How the server of the emulator is started. */
export interface EmulatorOptions {
  /** Folder of app definitions. Absent: the server has its sample app. */
  apps?: string;
  /** Further options of `gameserver serve --ephemeral`, such as `["--seed", "7"]`. */
  options?: string[];
  /** What starts the server. Absent: `gameserver`, from the PATH. `["python3", "-m", "gameserver"]` does as well. */
  command?: string | string[];
}

/** A server that is running, and may be put back. */
export declare class Emulator {
  private constructor();
  /** Where clients reach it; packets go to `${url}/dispatcherv2`. */
  readonly url: string;
  /** The id of the sample app; "" where `apps` was given. */
  readonly appId: string;
  /** The secret of the sample app; "" where `apps` was given. */
  readonly secret: string;
  /** Puts everything back to how the server began, or to the last seed. No session is left. */
  reset(): Promise<void>;
  /**
   * Begins anew with the data of an export, its text or its lines; `reset` leads back to this from now on.
   * Tells how many lines there were of each type, and rejects when not all can be taken.
   */
  seed(lines: string | object[]): Promise<Record<string, number>>;
  /** Keeps all there is now, but sessions, under a name. */
  snapshot(name: string): Promise<void>;
  /** Puts everything back to a snapshot. No session is left. */
  restore(name: string): Promise<void>;
  /** Deletes a snapshot. */
  forget(name: string): Promise<void>;
  /** Moves the clock forward, has done what is due by then, and tells the time: ms since 1970. */
  advance(seconds: number): Promise<number>;
  /** Tells the time of the server: ms since 1970. */
  now(): Promise<number>;
  /** Ends the server. It ends with this process, too. */
  stop(): Promise<void>;
}

/** Starts a server on a free port. Rejects with what the server said when it does not start. */
export declare function startEmulator(options?: EmulatorOptions): Promise<Emulator>;
