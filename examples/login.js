// One person logs in through the broker, types, and logs out; the log says where each millisecond went.
//
//   deskstorm k6 run -e BROKER=http://127.0.0.1:8080 -e VDI_USER=agent0001 -e VDI_PASSWORD=pass-agent0001 login.js
//
// Without BROKER: through Keystone and Nova, with the service account of OS_CLOUD or the other OS_ variables; DOMAIN is the
// users' then.
import vdi from 'k6/x/vdi';

export const options = {
  iterations: 1,
  thresholds: { vdi_login_failed: ['rate==0'], vdi_connect_failed: ['rate==0'] },
};

export default async function () {
  const tc = new vdi.ThinClient({
    ...(__ENV.BROKER ? { broker: __ENV.BROKER } : { cloud: { name: __ENV.OS_CLOUD, domain: __ENV.DOMAIN } }),
    user: __ENV.VDI_USER || 'agent0001',
    password: __ENV.VDI_PASSWORD || 'pass-agent0001',
    seat: __ENV.SEAT,
  });
  const desktop = await tc.login();
  console.log(`desktop ${desktop.name || desktop.id} of pool "${desktop.pool}": ${JSON.stringify(desktop.timings)}`);

  const desk = await tc.connect();
  console.log(`its picture: ${JSON.stringify(desk.timings)}`);
  await desk.type('Good morning.\n', { wpm: 80 });
  console.log(`its round trips: ${JSON.stringify(await desk.probe())}`);

  await tc.logout();
}
