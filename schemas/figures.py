"""
Name the figures of the statistics: sums, and distinct people by role.

The names are public: the API, its CSV and the keys in Valkey have them.
"""

# Sums. A message is a callback of MESSAGE_COMMANDS that is not online-only.
ALL_CALLBACKS = "callbacks"
ONE_TO_ONE_MESSAGES = "one_to_one_messages"
GROUP_MESSAGES = "group_messages"
UNDELIVERED = "undelivered"
ONE_TO_ONE_UNDELIVERED = "one_to_one_undelivered"
ONLINE_ONLY = "online_only"
BY_APP = "by_app"
BY_ROBOTS = "by_robots"
LOG_INS = "log_ins"
LOG_OUTS = "log_outs"
REGISTRATIONS = "registrations"
GROUP_JOINS = "group_joins"
GROUP_LEAVES = "group_leaves"
GROUPS_CREATED = "groups_created"
GROUPS_DISSOLVED = "groups_dissolved"
CONTACTS_ADDED = "contacts_added"
CONTACTS_REMOVED = "contacts_removed"
# Only the store knows whether a conversation is new, so no callback adds this by itself.
NEW_CONVERSATIONS = "new_conversations"
SUMS = (
    *(ALL_CALLBACKS, ONE_TO_ONE_MESSAGES, GROUP_MESSAGES, UNDELIVERED, ONE_TO_ONE_UNDELIVERED),
    *(ONLINE_ONLY, BY_APP, BY_ROBOTS, LOG_INS, LOG_OUTS, REGISTRATIONS, GROUP_JOINS, GROUP_LEAVES),
    *(GROUPS_CREATED, GROUPS_DISSOLVED, CONTACTS_ADDED, CONTACTS_REMOVED, NEW_CONVERSATIONS),
)
# The kinds of messages that /v1/totals and /v1/minutes show.
KINDS = (ONE_TO_ONE_MESSAGES, GROUP_MESSAGES, ONLINE_ONLY, UNDELIVERED, BY_APP, BY_ROBOTS)
# Sums by a name that a callback has: an element's type, a platform, a command. All names that are
# not known are one name, so that senders cannot make figures without bound.
TYPE = "type:"
PLATFORM = "platform:"
COMMAND = "command:"
OTHER = "other"
TYPES = (
    *("TIMTextElem", "TIMLocationElem", "TIMFaceElem", "TIMCustomElem", "TIMSoundElem"),
    *("TIMImageElem", "TIMFileElem", "TIMVideoFileElem", "TIMRelayElem", "TIMStreamElem"),
)
# OptPlatform of a message that the app's own servers send, in the name of any account.
REST_API = "RESTAPI"
UNKNOWN_PLATFORM = "Unknown"
PLATFORMS = (REST_API, "Web", "Android", "iOS", "Windows", "Mac", "iPad", UNKNOWN_PLATFORM)

# Roles: what a person, or a group, did. Sketches are kept by role.
ONE_TO_ONE_SENDERS = "one_to_one_senders"
GROUP_SENDERS = "group_senders"
RECIPIENTS = "recipients"
GROUPS_WITH_MESSAGES = "groups_with_messages"
LOGGED_IN = "logged_in"
ROLES = (ONE_TO_ONE_SENDERS, GROUP_SENDERS, RECIPIENTS, GROUPS_WITH_MESSAGES, LOGGED_IN)
ACTIVE = "active"
SENDERS = "senders"
# Distinct people per figure (GROUPS_WITH_MESSAGES counts groups), with the roles that the figure
# unites.
PEOPLE = {
    ACTIVE: (ONE_TO_ONE_SENDERS, GROUP_SENDERS, RECIPIENTS),
    SENDERS: (ONE_TO_ONE_SENDERS, GROUP_SENDERS),
    RECIPIENTS: (RECIPIENTS,),
    ONE_TO_ONE_SENDERS: (ONE_TO_ONE_SENDERS,),
    GROUP_SENDERS: (GROUP_SENDERS,),
    GROUPS_WITH_MESSAGES: (GROUPS_WITH_MESSAGES,),
    LOGGED_IN: (LOGGED_IN,),
}
FIGURES_OF_ROLE = {
    role: tuple(figure for figure, roles in PEOPLE.items() if role in roles) for role in ROLES
}
