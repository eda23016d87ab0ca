"""
The callback commands of the vendor, and how the callbacks of each command are identified.

The table follows the vendor's "Webhook Command List" and its list for live rooms, in their order.
docs/decisions/0018-identity.md explains the rules.

Identity: `message` is a message that was sent, and MsgKey (or MsgSeq, the random number and
MsgTime) names this very message, so a repeated callback may differ in VOLATILE fields. `event` is
everything else: if such a body has a MsgKey, that is the key of another message, which the event is
about. So the whole request identifies an event.

Order: `conversation` keeps the callbacks of one conversation in one partition. The conversation is
the first of these that the body names: the group (or live room), the official account, the two
accounts, the one account. `account` keeps those of the acting account in one partition: the other
parties are lists, or differ from one callback to the next.

Times: the fields that date the event itself, besides EventTime (at the top, or in each of Events).
"""

from typing import Literal, NamedTuple, cast

# Fields that may differ between two callbacks of one message: the vendor sets them when it makes
# the callback, not when the message is sent.
VOLATILE = ("EventTime", "UnreadMsgNum")

_TABLE = """
# command                                                identity  order         times

# Online status
State.StateChange                                        event     account       -

# Profile and relationship chain
Profile.CallbackPortraitSet                              event     account       -
Sns.CallbackPrevFriendAdd                                event     account       -
Sns.CallbackPrevFriendResponse                           event     account       -
Sns.CallbackFriendAdd                                    event     account       -
Sns.CallbackFriendDelete                                 event     account       -
Sns.CallbackBlackListAdd                                 event     account       -
Sns.CallbackBlackListDelete                              event     account       -

# Following and followers
Follow.CallbackAfterFollowAdd                            event     account       -
Follow.CallbackAfterFollowDelete                         event     account       -

# One-to-one messages
C2C.CallbackBeforeSendMsg                                event     conversation  MsgTime
C2C.CallbackAfterSendMsg                                 message   conversation  MsgTime
C2C.CallbackAfterMsgReport                               event     conversation  -
C2C.CallbackAfterMsgWithDraw                             event     conversation  -
C2C.CallbackAfterC2CMsgExtension                         event     conversation  -

# Groups and the topics of communities
Group.CallbackBeforeCreateGroup                          event     conversation  -
Group.CallbackAfterCreateGroup                           event     conversation  -
Group.CallbackBeforeApplyJoinGroup                       event     conversation  -
Group.CallbackBeforeInviteJoinGroup                      event     conversation  -
Group.CallbackAfterNewMemberJoin                         event     conversation  -
Group.CallbackAfterMemberExit                            event     conversation  -
Group.CallbackBeforeSendMsg                              event     conversation  MsgTime
Group.CallbackAfterSendMsg                               message   conversation  MsgTime
Group.CallbackAfterRecallMsg                             event     conversation  -
Group.CallbackAfterGroupFull                             event     conversation  -
Group.CallbackAfterGroupDestroyed                        event     conversation  -
Group.CallbackAfterGroupInfoChanged                      event     conversation  -
Group.CallbackOnMemberStateChange                        event     conversation  -
Group.CallbackSendMsgException                           event     conversation  -
Group.CallbackBeforeCreateTopic                          event     conversation  -
Group.CallbackAfterCreateTopic                           event     conversation  -
Group.CallbackAfterTopicDestroyed                        event     conversation  -
Group.CallbackAfterTopicInfoChanged                      event     conversation  -
Group.CallbackAfterMemberFieldChanged                    event     conversation  -
Group.CallbackAfterGroupAttrChanged                      event     conversation  -
Group.CallbackAfterReadReceipt                           event     conversation  -
Group.CallbackAfterChangeGroupOwner                      event     conversation  -
Group.CallbackOnDailyGroupQuotaAlarm                     event     conversation  -

# Official accounts
OfficialAccount.CallbackBeforeCreateOfficialAccount      event     conversation  -
OfficialAccount.CallbackAfterCreateOfficialAccount       event     conversation  -
OfficialAccount.CallbackAfterOfficialAccountInfoChanged  event     conversation  -
OfficialAccount.CallbackAfterOfficialAccountDestroyed    event     conversation  -
OfficialAccount.CallbackBeforeAddSubscriber              event     conversation  -
OfficialAccount.CallbackAfterAddSubscriber               event     conversation  -
OfficialAccount.CallbackAfterOfficialAccountFull         event     conversation  -
OfficialAccount.CallbackAfterDeleteSubscriber            event     conversation  -
OfficialAccount.CallbackBeforeSendMsg                    event     conversation  -
OfficialAccount.CallbackAfterSendMsg                     message   conversation  MsgTime
OfficialAccount.CallbackAfterMsgWithDraw                 event     conversation  -

# Chatbots
Bot.OnC2CMessage                                         message   conversation  MsgTime
Bot.OnGroupMessage                                       message   conversation  MsgTime
Chatbot.OnC2CSignalMessage                               event     conversation  -

# Content moderation, push notifications, alarms
ContentCallback.ResultNotify                             event     conversation  -
Push.OfflinePush                                         event     conversation  -
Push.AllMemberPush                                       event     conversation  -
Alert.RequestOverLimit                                   event     conversation  -

# Live rooms, their seats, battles and gifts
Live.CallbackAfterCreateRoom                             event     conversation  -
Live.CallbackAfterDestroyRoom                            event     conversation  -
Live.CallbackAfterUpdateRoomInfo                         event     conversation  -
Live.CallbackAfterSetMetadata                            event     conversation  -
Live.CallbackAfterDelMetadata                            event     conversation  -
Live.CallbackAfterCreateRoomReachingThreshold            event     conversation  -
Live.CallbackAfterMemberStateChanged                     event     conversation  -
Live.CallbackAfterChangeOwner                            event     conversation  -
Live.CallbackAfterModifyAdmin                            event     conversation  -
Mic.CallbackAfterSeatInfoChanged                         event     conversation  -
Live.CallbackAfterCreateBattle                           event     conversation  -
Live.CallbackAfterStartBattle                            event     conversation  StartTime
Live.CallbackAfterEndBattle                              event     conversation  EndTime
Live.CallbackBeforeSendGift                              event     conversation  -
Live.CallbackBeforeCallBackNotBlock                      event     conversation  -
"""

Identity = Literal["message", "event"]
Order = Literal["conversation", "account"]


class Command(NamedTuple):
    """The rules by which the callbacks of a command are identified, ordered and dated."""

    identity: Identity
    order: Order
    times: tuple[str, ...] = ()


# The vendor adds commands. An unknown one is an event of a conversation, dated only by EventTime.
UNKNOWN = Command("event", "conversation")


def _rows(table: str) -> dict[str, Command]:
    commands = {}
    for line in table.splitlines():
        if line and not line.startswith("#"):
            name, identity, order, times = line.split()
            commands[name] = Command(
                cast("Identity", identity),
                cast("Order", order),
                () if times == "-" else tuple(times.split(",")),
            )
    return commands


COMMANDS = _rows(_TABLE)
