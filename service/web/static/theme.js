// The theme, before anything is painted: a classic script in the head. It is a habit of the reader and no state of the
// page, so it is kept in the browser and not in the URL.
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "system";
