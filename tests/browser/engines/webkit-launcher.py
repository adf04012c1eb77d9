# A WebKitGTK window for WebKitWebDriver with a data store of its own on disk: the browser that comes with WebKitGTK keeps nothing when it
# is automated. usage: python3 webkit-launcher.py STORE_FOLDER [FEATURE,FEATURE...]   The driver starts it and ends it with the session.
import sys

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2

store = sys.argv[1]
wanted = set(sys.argv[2].split(",")) if len(sys.argv) > 2 else set()

manager = WebKit2.WebsiteDataManager(base_data_directory=f"{store}/data", base_cache_directory=f"{store}/cache")
context = WebKit2.WebContext(website_data_manager=manager)
context.set_automation_allowed(True)

settings = WebKit2.Settings()
features = WebKit2.Settings.get_all_features()
for feature in (features.get(i) for i in range(features.get_length())):
    if feature.get_identifier() in wanted:
        settings.set_feature_enabled(feature, True)


def new_view(_session):
    view = WebKit2.WebView(web_context=context, is_controlled_by_automation=True, settings=settings)
    window = Gtk.Window(default_width=1280, default_height=800)
    window.add(view)
    window.show_all()
    view.connect("close", lambda _view: window.destroy())
    return view


def name_session(_context, session):
    about = WebKit2.ApplicationInfo()
    about.set_name("webkit-launcher")
    about.set_version(WebKit2.get_major_version(), WebKit2.get_minor_version(), WebKit2.get_micro_version())
    session.set_application_info(about)
    session.connect("create-web-view", new_view)


context.connect("automation-started", name_session)
Gtk.main()
