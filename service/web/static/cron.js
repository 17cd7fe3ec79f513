// Cron expressions as people say them, where they are of a usual form.

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const SHORT = {
  "@hourly": "every hour",
  "@daily": "every day at 00:00",
  "@weekly": "every Sunday at 00:00",
  "@monthly": "on the 1st of every month at 00:00",
  "@yearly": "every 1 January at 00:00",
};

// Return an expression in words; null where there are no short ones.
export function cronWords(cron) {
  if (SHORT[cron] !== undefined) {
    return SHORT[cron];
  }
  const [minute, hour, day, month, weekday] = cron.trim().split(/\s+/);
  const clock = `${hour.padStart(2, "0")}:${(minute ?? "").padStart(2, "0")}`;
  if (month !== "*" || !/^\d+$/.test(minute)) {
    return null;
  }
  if (hour === "*") {
    return day === "*" && weekday === "*" ? `every hour at :${minute.padStart(2, "0")}` : null;
  }
  return /^\d+$/.test(hour) ? daysWords(day, weekday, clock) : null;
}

function daysWords(day, weekday, clock) {
  if (day === "*" && weekday === "*") {
    return `every day at ${clock}`;
  }
  if (day === "*" && weekday === "1-5") {
    return `Monday to Friday at ${clock}`;
  }
  if (day === "*" && DAYS[weekday] !== undefined) {
    return `every ${DAYS[weekday]} at ${clock}`;
  }
  return weekday === "*" && /^\d+$/.test(day) ? `on day ${day} of every month at ${clock}` : null;
}
