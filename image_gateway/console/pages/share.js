/**
 * The page where the owner of an image gives others access and takes it back.
 */

import { imageHead, section } from "../image/head.js";
import { exchange, get } from "../lib/api.js";
import { element, errorBox, replace, say } from "../lib/dom.js";
import { linkForm, revokeLink } from "../share/links.js";
import { accessTable, loadGrants, personForm, removePerson } from "../share/people.js";

/** @typedef {import("../images/types.js").Image} Image */

export const title = "Share";

/**
 * @param {HTMLElement} main
 * @param {import("../app.js").Parameters} parameters
 */
export async function show(main, { me, path, signal }) {
  const { imageId } = path;
  const [suspended, list, problem] = [element("div"), element("div", { tabindex: "-1" }), element("div")];
  /** @type {Image} */
  const image = await get(`/v1/images/${imageId}`, signal);
  document.title = `Share ${image.name} – image-gateway`;
  replace(main, ...imageHead(image, "share"));
  if (image.access !== "owner") {
    main.append(element("p", {}, "Only the owner of an image sees with whom it is shared."));
    return;
  }

  const load = async () => {
    try {
      const now = await get(`/v1/images/${imageId}`, signal);
      const grants = await loadGrants(imageId, signal);
      const owner = me?.name ?? "You";
      const unshare = act((/** @type {import("../images/types.js").Share} */ share) => removePerson(imageId, share));
      const revoke = act((/** @type {import("../images/types.js").ShareLink} */ link) => revokeLink(imageId, link));
      replace(suspended, ...suspensionNotice(now, grants.shares.length + grants.links.length, load));
      replace(list, accessTable(now, owner, grants, { unshare, revoke }));
    } catch (error) {
      if (!signal.aborted)
        replace(
          list,
          errorBox(error, () => void load()),
        );
    }
  };
  /**
   * Return a function that takes something back, and then shows the list anew.
   *
   * @template Grant
   * @param {(grant: Grant) => Promise<boolean>} take
   */
  const act = (take) => async (/** @type {Grant} */ grant) => {
    try {
      if (!(await take(grant))) return;
      replace(problem);
      await load();
      // The button that was pressed is gone.
      list.focus();
      say("Done");
    } catch (error) {
      replace(problem, errorBox(error));
    }
  };
  main.append(
    suspended,
    section("Who has access", problem, list),
    section("Add a person", personForm(imageId, load)),
    section("Share by a link", linkForm(imageId, load)),
  );
  void load();
}

/**
 * @param {Image} image
 * @param {number} count Of what is suspended.
 * @param {() => Promise<void>} reload
 */
function suspensionNotice({ imageId, visibility }, count, reload) {
  if (visibility !== "private" || count === 0) return [];
  const problem = element("div");
  const resume = async () => {
    try {
      await exchange("PATCH", `/v1/images/${imageId}`, { visibility: "shared" });
      await reload();
      say("Sharing is on again");
    } catch (error) {
      replace(problem, errorBox(error));
    }
  };
  const text =
    "The image is private, so sharing is suspended: the people and links below have no access. " +
    "They have it again when you switch sharing on, or when you add somebody.";
  const button = element("button", { type: "button", onclick: resume }, "Switch sharing on");
  return [element("div", { class: "notice" }, element("p", {}, text), problem, button)];
}
