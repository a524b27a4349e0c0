// Passkeys. A form with data-passkey asks the browser first, and is sent with its answer.
const KINDS = { add: "create", prove: "get", "sign-in": "get" };
const NAMED = !/^[\d.]+$|:/.test(location.hostname); // browsers tie passkeys to a name, never to an address
const POSSIBLE = isSecureContext && NAMED && !!window.PublicKeyCredential?.parseRequestOptionsFromJSON;

async function options(form) {
  if (form.dataset.options) return JSON.parse(document.getElementById(form.dataset.options).textContent);
  const response = await fetch(form.action, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return (await response.json()).request_options;
}

function parsed(kind, told, form) {
  if (kind === "get") return PublicKeyCredential.parseRequestOptionsFromJSON(told.publicKey);
  const asked = PublicKeyCredential.parseCreationOptionsFromJSON(told.creation_options.publicKey);
  const instead = form.elements.passwordless.checked;
  asked.authenticatorSelection = {
    ...asked.authenticatorSelection,
    residentKey: instead ? "required" : "discouraged",
    requireResidentKey: instead,
    ...(instead && { userVerification: "required" }),
  };
  return asked;
}

async function ask(form) {
  const kind = KINDS[form.dataset.passkey];
  const told = await options(form);
  const credential = await navigator.credentials[kind]({ publicKey: parsed(kind, told.request_options ?? told, form) });
  form.elements.credential.value = JSON.stringify(credential);
  form.submit();
}

function complain(error) {
  const known = { NotAllowedError: "No passkey was used.", InvalidStateError: "That device has a passkey for you already." };
  document.dispatchEvent(new CustomEvent("complaint", { detail: known[error.name] ?? `The browser refused: ${error.message}` }));
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!POSSIBLE) { form.hidden = true; continue; }
  form.querySelector("[type=submit]").disabled = false; // until now it would have been sent without
  form.addEventListener("submit", event => {
    event.preventDefault();
    ask(form).catch(error => { form.removeAttribute("aria-busy"); complain(error); });
  });
}
if (!POSSIBLE) for (const hint of document.querySelectorAll("[data-passkey-hint]")) hint.hidden = false;
