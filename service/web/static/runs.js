// Following the runs of schedules: their jobs tell when they end, and a little later the server has judged them.
import { follow } from "./live.js";

const LOOK_AGAIN_S = [2, 5, 15, 60];
const TAG = "schedule:";

// Look again some times after the end of a job: nothing tells when the server has judged, or measured, it.
export function lookAgain(look) {
  for (const seconds of LOOK_AGAIN_S) {
    setTimeout(look, 1000 * seconds);
  }
}

// Call `changed` where a job of a schedule began, and when one has ended until its run is judged.
//   isMine: whether the schedule of a name matters here.
export function followRuns(isMine, changed) {
  const begun = new Set();
  const isOf = (job) => job.tags.some((tag) => tag.startsWith(TAG) && isMine(tag.slice(TAG.length)));

  function onJob(job) {
    if (isOf(job) && !begun.has(job.id)) {
      begun.add(job.id);
      changed();
    }
  }

  function onEnd(job) {
    if (isOf(job)) {
      begun.delete(job.id);
      lookAgain(changed);
    }
  }
  follow("/events", { job: onJob, end: onEnd }, { onAgain: changed });
}
