// A session that outlives the iteration: each virtual user connects once, then
// works in every iteration, and connects anew if its session has ended, unless
// another client took the desktop over. What is
// still open at the end of the test is closed by the module.
//
//   deskstorm k6 run -e HOST=127.0.0.1 -e PORT=5900 --vus 1 --duration 5m kept-session.js
import vdi from 'k6/x/vdi';
import { sleep } from 'k6';

let desk; // a virtual user's own

export default async function () {
  if (desk?.ended()?.kind === 'evicted') {
    // Another client took the desktop over: to connect again would evict it.
    sleep(20);
    return;
  }
  if (!desk || desk.ended()) {
    desk = await vdi.connect({ host: __ENV.HOST || '127.0.0.1', port: Number(__ENV.PORT || 5900) });
  }
  try {
    await desk.work('callcenter', '20s');
  } catch (e) {
    console.warn(`the session ended: ${e.kind}`);
  }
}
