/**
 * k6/x/vdi: thin clients that log in, open SPICE sessions to desktops, type on
 * them and measure how long all of it takes.
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
    /** The ticket (password), at most 60 bytes; spice-server keeps 59 of them. */
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
    /** Works by the profile of the thin client. */
    work(duration: Duration): Promise<{ probes: number; lost: number }>;
    /** Measures the three round trips, one after another. Rejects only when the session has ended. */
    probe(): Promise<RoundTrips>;
    /** Closes the session. One that has ended is fine. */
    disconnect(): Promise<void>;
    /**
     * Opens the same desktop again, where it was migrated to if it was. Rejects with kind 'evicted' if it was evicted. The
     * ticket is the same: a thin client whose ticket has expired meanwhile connects anew by its own connect().
     */
    reconnect(): Promise<Desk>;
    /** Why the session ended; null while it has not. */
    ended(): { kind: Kind; message: string } | null;
  }

  /** A broker: its URL, such as 'https://broker.example:8443'. */
  export interface Broker {
    url: string;
    /** The certificate authority in PEM form, or the path of its file. Without it the system's authorities count. */
    ca?: string;
    /** How long a login may take, or any other call. A login may wait for a desktop to boot. Default '1m'. */
    timeout?: Duration;
  }

  /**
   * A cloud without a broker: the thin client asks Keystone and Nova itself. The credentials are those of a service account,
   * which does what the cloud's patch of Nova did, and logs in once a process; its connections are not a virtual user's.
   */
  export interface Cloud {
    /** The cloud's name in clouds.yaml. Without it the variables OS_CLOUD, or OS_AUTH_URL and so on. */
    name?: string;
    /** The domain of the users. Without it the service account's. */
    domain?: string;
    /** How long a login may take, or any other call. Default '1m'. */
    timeout?: Duration;
    /**
     * Where the compute nodes ask for tickets (spice_password in qemu.conf): the URI of their libvirt, with %s for the node's
     * name, such as 'qemu+tls://%s/system'. Nova knows of no tickets.
     */
    libvirt?: string;
    /** Who signed the SPICE servers' certificates: a file's path or its text. Without it the system's authorities. */
    ca?: string;
    /** What those certificates say, such as 'O=Example,CN=node17'. Without it the host's name is checked. */
    subject?: string;
  }

  export interface ThinClientOptions {
    /** The way to the desktop: a broker. Either this or `cloud`. */
    broker?: string | Broker;
    /** The way to the desktop: Keystone and Nova. A name in clouds.yaml, or true for the OS_ variables. */
    cloud?: string | true | Cloud;
    user: string;
    password: string;
    /** The place in the office, such as 'N2-117'. */
    seat?: string;
    /** The thin client's own identity, such as its MAC address. */
    id?: string;
    /** The site, for the broker, and the tag `site` of all metrics. Few values: it is a label. */
    site?: string;
    /** What else the broker decides on. They are no tags of metrics. */
    tags?: Record<string, string>;
    /** The workload profile of desk.work() where none is given: a built-in one's name, or a profile's text. */
    profile?: string;
    /**
     * The exporter of active users that is told what this thin client types, as the agent of a real one would tell it. Needs id
     * and site.
     */
    report?: ReportTo;
  }

  /** An exporter of active users. */
  export interface ReportTo {
    /** https, or http on this machine. */
    url: string;
    /** The token of the site: tc-agent token --site. */
    token: string;
    /** The authority of the exporter's certificate: a PEM file's path, or its text. Default: the system's. */
    ca?: string;
  }

  /** How long the steps of a login took, in milliseconds; steps that were not needed are missing. */
  export interface LoginTimings {
    /** The password is checked. */
    auth?: number;
    /** Which rule serves this user; without a broker: which desktop is the seat's. */
    match?: number;
    /** A desktop becomes the user's. */
    allocate?: number;
    /** Waiting until it runs. */
    boot?: number;
    /** Where its console is, with a ticket. */
    console?: number;
    /** From the call to the session in hand. */
    total: number;
    /** What no step explains: the network, and what the broker did between its steps. Without a broker nearly nothing. */
    unaccounted: number;
  }

  /** A user's desktop. */
  export interface Desktop {
    /** OpenStack's, a UUID. */
    readonly id: string;
    readonly name: string;
    /** Empty where the way knows no pools. */
    readonly pool: string;
    /** The rule that chose the pool. Empty where the way knows no rules. */
    readonly allocator: string;
    readonly timings: LoginTimings;
  }

  /**
   * A thin client with a person before it. It does one thing at a time: a call while another is under way throws, as does a
   * connect() before login(), and a second login() before logout(). Who is still logged in when the test ends, however it
   * ends, is logged out by the module. Nothing that was given to the constructor can be read back.
   */
  export class ThinClient {
    constructor(options: ThinClientOptions);
    /** Gets a desktop. It is the virtual user's beyond the iteration, until logout() or the test's end; leases are renewed. */
    login(): Promise<Desktop>;
    /**
     * Opens the desktop's screen. A ticket that has expired is replaced before. A console that does not let the thin client
     * begin is 'console-refused'.
     */
    connect(options?: {
      /** How long it may take, a new ticket included. Default '30s'. */
      timeout?: Duration;
      /** How long a round trip may take before it is lost. Default and, for the guest's, maximum '1.5s'. */
      deadline?: Duration;
    }): Promise<Desk>;
    /** Leaves the desk and logs out. Where nobody is logged in that is fine. */
    logout(): Promise<void>;
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
    | 'failed'
    | LoginKind;

  /** What went wrong on the way to a desktop, one name for each thing that an operator would do about it. */
  export type LoginKind =
    /** Or no such user. */
    | 'wrong-password'
    /** Locked, disabled or expired. */
    | 'account-locked'
    /** LDAP, or Keystone in front of it, refuses or cannot be reached. */
    | 'directory-down'
    /** It did not answer in time. */
    | 'directory-slow'
    /** No rule matches the user and there is no default. */
    | 'no-allocator'
    /** No desktop is ready, nor was in the time that a login may wait. */
    | 'pool-empty'
    /** It was there when it was chosen and not when it was handed out. */
    | 'desktop-died'
    /** The desktop bound to the seat or thin client is another user's now. */
    | 'desktop-busy'
    /** Of the session or the cloud, and it could not be renewed. */
    | 'token-expired'
    /** OpenStack answered with an error. */
    | 'cloud-failed'
    /** A desktop did not get ready in time. */
    | 'build-timeout'
    /** The desktop runs, but where its console is nobody says, or it does not answer. */
    | 'console-refused'
    /** The broker cannot be reached or does not answer in time. */
    | 'broker-down'
    /** The broker failed for a reason of its own, such as its database. */
    | 'broker-failed'
    /** What was asked makes no sense; the message says what. */
    | 'bad-request'
    /** The session has ended, or never was. */
    | 'session-not-found';

  export interface VdiError extends Error {
    kind: Kind;
    /** Where a login failed (the first five; missing before the first one) or a connect. */
    step?: 'auth' | 'match' | 'allocate' | 'boot' | 'console' | 'link' | 'main' | 'picture';
    /** Under which the broker's or the cloud's log has a failed login. */
    requestId?: string;
  }

  /** Opens a session. It belongs to the virtual user, may outlive the iteration, and is closed when the test ends. */
  export function connect(options: ConnectOptions): Promise<Desk>;

  const vdi: { connect: typeof connect; ThinClient: typeof ThinClient };
  export default vdi;
}
