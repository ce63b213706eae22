// AG Grid in the colours of the page. Cells are text, or elements that are made by hand.
import * as AgGrid from "nicegui-aggrid";

AgGrid.ModuleRegistry.registerModules([AgGrid.AllCommunityModule]);

const theme = AgGrid.themeQuartz.withParams({
  backgroundColor: "var(--hl-card)", foregroundColor: "var(--hl-ink)", headerBackgroundColor: "var(--hl-card)",
  headerTextColor: "var(--hl-soft)", borderColor: "var(--hl-line)", accentColor: "var(--hl-accent)", rowHoverColor: "var(--hl-hover)",
  selectedRowBackgroundColor: "var(--hl-accent-soft)", chromeBackgroundColor: "var(--hl-card)", fontFamily: "inherit", fontSize: 13, headerFontSize: 12,
  headerFontWeight: 600, rowHeight: 30, headerHeight: 32, cellHorizontalPadding: 10, wrapperBorder: false, wrapperBorderRadius: 0,
  headerColumnResizeHandleColor: "var(--hl-line)", menuBackgroundColor: "var(--hl-card)", inputBackgroundColor: "var(--hl-card)",
  menuTextColor: "var(--hl-ink)", inputTextColor: "var(--hl-ink)", inputBorder: "1px solid var(--hl-soft)", tooltipBackgroundColor: "var(--hl-card)",
});

export function createGrid(node, options) {
  return AgGrid.createGrid(node, {
    theme, animateRows: false, suppressCellFocus: false, enableCellTextSelection: true, tooltipShowDelay: 400,
    suppressDragLeaveHidesColumns: true, getRowId: ({ data }) => data.id, ...options,
    defaultColDef: { sortable: true, resizable: true, filter: true, minWidth: 60, cellDataType: false, ...options.defaultColDef },
  });
}

// Numbers by size, then texts; what is missing is always last.
export function compare(a, b, _, __, isDescending) {
  const isMissing = (value) => value === null || value === undefined || value === "";
  if (isMissing(a) || isMissing(b)) return isMissing(a) && isMissing(b) ? 0 : isMissing(a) === !isDescending ? 1 : -1;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}
