// Scores of the jobs that a list shows: fetched behind it, a few at a time, for their tables take longer than the list.
import { get, withQuery } from "./api.js";

const AT_ONCE = 10;

// Give the rows their scores, from the top; a row has `job`, `wantsScores` and `give(scores)`.
export async function fillScores(rows, signal) {
  const waiting = rows.filter((row) => row.wantsScores);
  for (let start = 0; start < waiting.length; start += AT_ONCE) {
    const some = waiting.slice(start, start + AT_ONCE);
    const { items } = await get(withQuery("/scores", { job: some.map((row) => row.job.id) }), { signal });
    const found = new Map(items.map((scores) => [scores.job_id, scores]));
    for (const row of some) {
      if (found.has(row.job.id)) {
        row.give(found.get(row.job.id));
      }
    }
  }
}
