// What JupyterHub's own administration page expects to find; it runs before that page's script.
"use strict";
(() => {
  const page = document.body.dataset;
  window.base_url = page.baseUrl;
  window.api_page_limit = Number(page.pageLimit);
  window.jhdata = {
    base_url: page.baseUrl, prefix: page.prefix, user: page.user, admin_access: false, options_form: true, xsrf_token: page.xsrf,
  };
})();
