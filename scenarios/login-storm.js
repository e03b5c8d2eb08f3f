// A login storm: everybody comes within one window, logs in, waits for the first key on the screen, stays a little and logs
// out. It asks how many may come at once, and which step is the first to suffer.
//
//   deskstorm k6 run -e DESKSTORM_BROKER=https://broker.example:8443 -e DESKSTORM_USERS=200 login-storm.js
//   deskstorm k6 run -e DESKSTORM_PATH=cloud -e OS_CLOUD=desktops -e DESKSTORM_USERS=users.csv login-storm.js
//
// From the environment, or by -e; those that morning-shift.js has too:
//   DESKSTORM_PATH      the way to the desktop: broker (default), or cloud (Keystone and Nova; the service account is that of
//                       OS_CLOUD or the other OS_ variables, which must be exported)
//   DESKSTORM_BROKER    the broker's URL; DESKSTORM_BROKER_CA the file of the CA that signed its certificate
//   DESKSTORM_DOMAIN    on the path cloud: the users' domain
//   DESKSTORM_USERS     how many people there are (default 10), or a CSV file whose first line names its columns: user and
//                       password, and where there are such seat, site and id. The file's path is relative to the script.
//   DESKSTORM_USER, DESKSTORM_PASSWORD, DESKSTORM_SEAT
//                       of counted people; %d is the number from 1, %04d the same with four digits. Default agent%04d,
//                       pass-agent%04d, and no seat. Other users of the machine can read a command line: export a password.
//   DESKSTORM_PART      which of them come, such as 2/3: the second of three parts of nearly the same size; default 1/1, all
//   DESKSTORM_SITES     of counted people: sites in turns, separated by commas
//   DESKSTORM_WINDOW    how long people keep coming; default 1m. Each comes at a normally distributed moment of it, with a
//                       sixth of it as standard deviation, which depends on the person's number and the seed alone.
//   DESKSTORM_SEED      another number sends the same people in another order; default 0
//   DESKSTORM_MAX_FAILED
//                       the threshold for the part of logins that fail; default 0.01
//   DESKSTORM_LOGIN_P95 the threshold for the 95th percentile of logins, from the password to the session; default 5s
// and its own:
//   DESKSTORM_HOLD      how long everybody stays; default 10s
//
// Metrics are those of k6/x/vdi; vdi_arrivals, the people who began to log in; vdi_wait, how long a person waited from the
// password to the first picture; and vdi_first_key, to the first key seen on the screen. Who cannot log in goes home: that
// is counted, and not tried again.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { SharedArray } from 'k6/data';
import { Counter, Trend } from 'k6/metrics';
import vdi from 'k6/x/vdi';

const window = milliseconds(__ENV.DESKSTORM_WINDOW || '1m');
const hold = milliseconds(__ENV.DESKSTORM_HOLD || '10s');
const people = crowd();
const arrivals = new Counter('vdi_arrivals');
const wait = new Trend('vdi_wait', true);
const firstKey = new Trend('vdi_first_key', true);

export const options = {
  scenarios: {
    storm: {
      executor: 'per-vu-iterations',
      vus: people.length,
      iterations: 1,
      maxDuration: `${Math.ceil((window + hold) / 1000) + 120}s`, // the last one's login and connect may take their 90 s
      gracefulStop: '2s',
    },
  },
  thresholds: thresholds(),
};

export default async function () {
  const number = exec.vu.idInTest - 1; // of all load generators, where there are several
  sleep(arrival(number) / 1000);
  await visit(number, {}, async (tc, desk, waited) => {
    const { visible } = await desk.probe();
    if (visible !== null) firstKey.add(waited + visible, tags(number));
    sleep(hold / 1000);
  });
}

// ---- From here on, login-storm.js and morning-shift.js are the same: k6 reads a script from its standard input alone. ----

// failures count who could not work, a metric for each class: k6's summary shows those that there were.
const failures = Object.fromEntries(['wrong-password', 'account-locked', 'directory-down', 'directory-slow', 'no-allocator', 'pool-empty',
  'desktop-died', 'desktop-busy', 'token-expired', 'cloud-failed', 'build-timeout', 'console-refused', 'broker-down', 'broker-failed',
  'bad-request', 'session-not-found', 'permission', 'timeout', 'network', 'gone', 'evicted', 'other',
].map((kind) => [kind, new Counter(`vdi_failed_${kind.replace(/-/g, '_')}`)]));

// visit is a person's: in, to the desk, and out again whatever happens.
async function visit(number, options, stay) {
  let tc;
  try {
    tc = new vdi.ThinClient({ ...way(), ...person(number), ...options });
    arrivals.add(1, tags(number));
    const desktop = await tc.login();
    const desk = await tc.connect();
    const waited = desktop.timings.total + desk.timings.total;
    wait.add(waited, tags(number));
    await stay(tc, desk, waited);
    await tc.logout();
  } catch (error) {
    // A mistake of the script or its options is everybody's: without an end, a run in which nobody came would pass.
    if (!error.kind) exec.test.abort(`${error}`);
    if (error.kind === 'stopped') return; // by k6, and the module logs out
    console.warn(`thin client ${number + 1}: ${error.message}`);
    (failures[error.kind] || failures.other).add(1, { step: error.step || 'none', ...tags(number) });
    await tc.logout().catch((e) => {
      if (e.kind !== 'stopped') console.warn(`thin client ${number + 1} stays logged in: ${e.message}`);
    });
  }
}

// way is a thin client's way to its desktop.
function way() {
  const path = __ENV.DESKSTORM_PATH || 'broker';
  if (path === 'cloud') return { cloud: { name: __ENV.OS_CLOUD, domain: __ENV.DESKSTORM_DOMAIN } };
  if (path !== 'broker') throw new Error(`DESKSTORM_PATH is "${path}", not broker or cloud`);
  if (!__ENV.DESKSTORM_BROKER) throw new Error('name the broker: DESKSTORM_BROKER=URL, or DESKSTORM_PATH=cloud');
  return { broker: { url: __ENV.DESKSTORM_BROKER, ca: __ENV.DESKSTORM_BROKER_CA } };
}

// person is who sits at the thin client.
function person(number) {
  return people[number % people.length];
}

// tags are those that the module gives its own samples.
function tags(number) {
  const { site } = person(number);
  return { path: __ENV.DESKSTORM_PATH || 'broker', ...(site ? { site } : {}) };
}

// crowd reads DESKSTORM_USERS once for all virtual users.
function crowd() {
  way(); // refuses what makes no sense, before anybody comes
  const text = __ENV.DESKSTORM_USERS || '10';
  const some = part();
  if (!/^\d+$/.test(text)) return new SharedArray('people', () => some(parseCSV(open(text), text)));
  if (Number(text) < 1) throw new Error('DESKSTORM_USERS is 0');
  const sites = (__ENV.DESKSTORM_SITES || '').split(',').map((s) => s.trim()).filter((s) => s !== '');
  const named = (pattern, number) => pattern.replace(/%(?:0(\d+))?d/g, (_, width) => String(number).padStart(Number(width || 0), '0'));
  return new SharedArray('people', () => some(Array.from({ length: Number(text) }, (_, i) => ({
    user: named(__ENV.DESKSTORM_USER || 'agent%04d', i + 1),
    password: named(__ENV.DESKSTORM_PASSWORD || 'pass-agent%04d', i + 1),
    ...(__ENV.DESKSTORM_SEAT ? { seat: named(__ENV.DESKSTORM_SEAT, i + 1) } : {}),
    ...(sites.length > 0 ? { site: sites[i % sites.length] } : {}),
  }))));
}

// part reads DESKSTORM_PART and returns what takes that part of the people.
function part() {
  const text = __ENV.DESKSTORM_PART || '1/1';
  const [, number, of] = /^([1-9]\d*)\/([1-9]\d*)$/.exec(text) || [];
  if (of === undefined || Number(number) > Number(of)) throw new Error(`DESKSTORM_PART is "${text}", not such as 2/3`);
  return (all) => {
    const border = (n) => Math.round((all.length * n) / Number(of));
    const some = all.slice(border(Number(number) - 1), border(Number(number)));
    if (some.length === 0) throw new Error(`DESKSTORM_PART is ${text}, and of ${all.length} people that is nobody`);
    return some;
  };
}

// parseCSV reads people. A field in double quotes may have commas in it, and double quotes written twice.
function parseCSV(text, file) {
  const known = ['user', 'password', 'seat', 'site', 'id'];
  const rows = text.replace(/^\ufeff/, '').split(/\r?\n/).map((line) => [...`,${line}`.matchAll(/,\s*(?:"((?:[^"]|"")*)"|([^,"]*))(?=,|$)/g)]
    .map(([, quoted, plain]) => (quoted === undefined ? plain.trim() : quoted.replace(/""/g, '"'))));
  const columns = rows.shift();
  const stranger = columns.find((c) => !known.includes(c));
  if (stranger !== undefined || !columns.includes('user') || !columns.includes('password')) {
    throw new Error(`${file}, line 1: the columns are ${known.join(', ')}, the first two needed`);
  }
  const people = [];
  rows.forEach((row, i) => {
    if (row.length <= 1 && !row[0]) return; // an empty line
    if (row.length !== columns.length) throw new Error(`${file}, line ${i + 2}: ${row.length} fields, not ${columns.length}`);
    people.push(Object.fromEntries(columns.map((c, j) => [c, row[j]]).filter(([, value]) => value !== '')));
  });
  if (people.length === 0) throw new Error(`${file}: nobody is in it`);
  return people;
}

// arrival is the moment at which a person comes, in milliseconds after the window's start: a quantile of the normal
// distribution about the window's middle, cut at its ends, three standard deviations away. Multiples of the golden ratio,
// without their whole part, fill the interval from 0 to 1 evenly however many there are: so does every site's part of them.
function arrival(number) {
  const tail = 0.00135; // of the normal distribution, beyond three standard deviations
  const part = ((number + 1 + Number(__ENV.DESKSTORM_SEED || 0)) * 0.6180339887498949) % 1;
  const p = tail + part * (1 - 2 * tail);
  const quantile = 4.91 * (p ** 0.14 - (1 - p) ** 0.14); // Tukey's lambda: within 0.04 as far as three
  return window * (0.5 + quantile / 6);
}

function thresholds() {
  const number = Number(__ENV.DESKSTORM_MAX_FAILED || 0.01);
  if (!(number >= 0 && number <= 1)) throw new Error('DESKSTORM_MAX_FAILED is not a number from 0 to 1');
  return {
    vdi_login_failed: [number === 0 ? 'rate==0' : `rate<=${number}`],
    vdi_connect_failed: [number === 0 ? 'rate==0' : `rate<=${number}`],
    vdi_logins_left: ['count==0'],
    'vdi_login_duration{step:total}': [`p(95)<${milliseconds(__ENV.DESKSTORM_LOGIN_P95 || '5s')}`],
    ...Object.fromEntries(['auth', 'match', 'allocate', 'boot', 'console', 'unaccounted'].map((step) => (
      [`vdi_login_duration{step:${step}}`, ['p(95)>=0']]))), // a row of its own in the summary
    'vdi_round_trip{step:visible}': ['p(95)<150'], // an estimate of where typing begins to feel slow
  };
}

// milliseconds reads a duration such as 1h30m, 90s or 500ms.
function milliseconds(text) {
  const units = { h: 3600e3, m: 60e3, s: 1e3, ms: 1 };
  if (!/^(\d+(\.\d+)?(ms|h|m|s))+$/.test(text)) throw new Error(`"${text}" is not a duration such as 90s`);
  return [...text.matchAll(/([\d.]+)(ms|h|m|s)/g)].reduce((sum, [, n, unit]) => sum + Number(n) * units[unit], 0);
}
