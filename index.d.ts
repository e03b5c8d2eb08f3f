/**
 * k6/x/vdi: thin clients that open SPICE sessions to desktops, type on them and
 * measure how long the desktops take to answer.
 *
 * All functions that return promises work beside the event loop. Errors are
 * instances of Error with a `kind`, see {@link VdiError}.
 */
declare module 'k6/x/vdi' {
  /** A duration: milliseconds, or text such as '300ms', '1m30s'. */
  export type Duration = number | string;

  export interface ConnectOptions {
    /** The desktop's host name or address. Needed unless `file` is given. */
    host?: string;
    /** The plain SPICE port. */
    port?: number;
    /** The TLS port. With both ports, channels are opened in plain unless `secureChannels` or the server asks for TLS. */
    tlsPort?: number;
    /** The ticket (password), at most 60 bytes. */
    ticket?: string;
    /** The certificate authority in PEM form, or the path of its file. Without it the system's authorities count. */
    ca?: string;
    /** The certificate's subject, such as 'O=Example,CN=node7'; then the host's name is not looked at. */
    subject?: string;
    /** Channels to open on the TLS port although there is a plain one: 'main', 'display', 'inputs', 'cursor'. */
    secureChannels?: string[];
    /** A virt-viewer file (.vv): its path, or its text from k6's open(). Instead of `host`. */
    file?: string;
    /** The tag `site` of all metrics of this session. Few values: it is a label. */
    site?: string;
    /** How long the connect may take, from the first packet to the first picture. Default '30s'. */
    timeout?: Duration;
    /** How long a round trip may take before it is lost. Default and, for the guest's, maximum '1.5s'. */
    deadline?: Duration;
  }

  /** How long the steps of the connect took, in milliseconds. */
  export interface Timings {
    /** TCP, TLS, and the link messages of the main channel. */
    link: number;
    /** The ticket. */
    auth: number;
    /** The other channels, all open. */
    main: number;
    /** From there to the first drawing. */
    picture: number;
    total: number;
  }

  /** Round trips in milliseconds; null where the answer was lost. */
  export interface RoundTrips {
    /** Four mouse motions until the server acknowledges them. The guest takes no part. */
    server: number | null;
    /** Scroll Lock until the guest has set the keyboard's light. */
    guest: number | null;
    /** A key until the drawing whose pixels show it. */
    visible: number | null;
  }

  export interface Desk {
    /** The screen's size in pixels. */
    readonly width: number;
    readonly height: number;
    readonly timings: Timings;
    /**
     * Types a text of a US keyboard's characters ('\n', '\t' and '\b' among them) at a person's pace: `wpm` words of
     * five keys a minute, 52 by default. A desktop that does not answer does not slow it down; a probe under way is waited for.
     */
    type(text: string, options?: { wpm?: number }): Promise<void>;
    /**
     * Works for a time by a workload profile: 'callcenter', 'office', 'idle', or the text of one's own profile from
     * k6's open(). Round trips are measured meanwhile. Rejects when the session ends.
     */
    work(profile: string, duration: Duration): Promise<{ probes: number; lost: number }>;
    /** Measures the three round trips, one after another. Rejects only when the session has ended. */
    probe(): Promise<RoundTrips>;
    /** Closes the session. One that has ended is fine. */
    disconnect(): Promise<void>;
    /** Opens the same desktop again, where it was migrated to if it was. Rejects with kind 'evicted' if it was evicted. */
    reconnect(): Promise<Desk>;
    /** Why the session ended; null while it has not. */
    ended(): { kind: Kind; message: string } | null;
  }

  /** What went wrong, in classes to decide on. */
  export type Kind =
    /** The ticket is wrong or has expired. */
    | 'permission'
    /** Another client took the desktop over. */
    | 'evicted'
    /** The desktop's server no longer answers. */
    | 'gone'
    /** The desktop was moved to another host; reconnect() goes there. */
    | 'migrated'
    /** The server ended the session politely. */
    | 'disconnected'
    /** This side closed the session. */
    | 'closed'
    /** The server's bytes make no sense; the message names channel, message and offset. */
    | 'protocol'
    /** The server refused a channel. */
    | 'refused'
    | 'timeout'
    | 'network'
    /** k6 ended the iteration or the test. */
    | 'stopped'
    | 'failed';

  export interface VdiError extends Error {
    kind: Kind;
    /** Where a connect failed. */
    step?: 'link' | 'auth' | 'main' | 'picture';
  }

  /** Opens a session. It belongs to the virtual user, may outlive the iteration, and is closed when the test ends. */
  export function connect(options: ConnectOptions): Promise<Desk>;

  const vdi: { connect: typeof connect };
  export default vdi;
}
