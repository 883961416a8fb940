import type { ComponentChildren } from "preact";

/** Drawn here, so that the page asks nobody for an icon font. They say nothing to a screen reader: their buttons do. */
function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg
      class="icon"
      viewBox="0 0 24 24"
      width="20"
      height="20"
      fill="none"
      stroke="currentColor"
      stroke-width="1.75"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {children}
    </svg>
  );
}

const path = (d: string) => () => (
  <Icon>
    <path d={d} />
  </Icon>
);

export const IconMenu = path("M4 7h16M4 12h16M4 17h16");
export const IconPlus = path("M12 5v14M5 12h14");
export const IconSend = path("M12 19V5M6 11l6-6 6 6");
export const IconClose = path("M6 6l12 12M18 6L6 18");
export const IconCopy = path("M9 9h10v10H9zM5 15V5h10");
export const IconCheck = path("M5 12.5l4.5 4.5L19 7.5");
export const IconEdit = path("M4 20l1-4L16 5l3 3L8 19zM13.5 7.5l3 3");
export const IconAgain = path("M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5");
export const IconContinue = path("M5 12h13M13 7l5 5-5 5");
export const IconTrash = path("M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5");
export const IconDocument = path("M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6");
export const IconSettings = path("M4 8h9M17 8h3M4 16h3M11 16h9M15 6v4M9 14v4");
export const IconDown = path("M12 5v14M6 13l6 6 6-6");
export const IconMoon = path("M20 14.5A8.5 8.5 0 0 1 9.5 4 8 8 0 1 0 20 14.5z");
export const IconChart = path("M4 4v16h16M8 15l4-5 3 3 5-7");

export const IconSun = () => (
  <Icon>
    <circle cx="12" cy="12" r="4" />
    <path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6L7 7M17 17l1.4 1.4M18.4 5.6L17 7M7 17l-1.4 1.4" />
  </Icon>
);

export const IconSystem = () => (
  <Icon>
    <circle cx="12" cy="12" r="8" />
    <path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor" />
  </Icon>
);

export const IconStop = () => (
  <Icon>
    <rect x="7" y="7" width="10" height="10" rx="1.5" fill="currentColor" stroke="none" />
  </Icon>
);
