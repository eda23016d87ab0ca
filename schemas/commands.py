"""
The callback commands of the vendor, and how the callbacks of each command are identified.

The table follows the vendor's "Webhook Command List" and its list for live rooms, in their order.
docs/decisions/0018-identity.md explains the rules.

Identity: `key` is for a message that was sent: MsgKey (or MsgSeq, the random number and MsgTime)
names this very message, so a repeated callback may differ in VOLATILE fields. `request` is for
everything else: if such a body has a MsgKey, that is the key of another message, which the callback
is about. So the whole request identifies it.

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
State.StateChange                                        request   account       -

# Profile and relationship chain
Profile.CallbackPortraitSet                              request   account       -
Sns.CallbackPrevFriendAdd                                request   account       -
Sns.CallbackPrevFriendResponse                           request   account       -
Sns.CallbackFriendAdd                                    request   account       -
Sns.CallbackFriendDelete                                 request   account       -
Sns.CallbackBlackListAdd                                 request   account       -
Sns.CallbackBlackListDelete                              request   account       -

# Following and followers
Follow.CallbackAfterFollowAdd                            request   account       -
Follow.CallbackAfterFollowDelete                         request   account       -

# One-to-one messages
C2C.CallbackBeforeSendMsg                                request   conversation  MsgTime
C2C.CallbackAfterSendMsg                                 key       conversation  MsgTime
C2C.CallbackAfterMsgReport                               request   conversation  -
C2C.CallbackAfterMsgWithDraw                             request   conversation  -
C2C.CallbackAfterC2CMsgExtension                         request   conversation  -
C2C.CallbackAfterModifyMsg                               request   conversation  -

# Groups and the topics of communities
Group.CallbackBeforeCreateGroup                          request   conversation  -
Group.CallbackAfterCreateGroup                           request   conversation  -
Group.CallbackBeforeApplyJoinGroup                       request   conversation  -
Group.CallbackBeforeInviteJoinGroup                      request   conversation  -
Group.CallbackAfterNewMemberJoin                         request   conversation  -
Group.CallbackAfterMemberExit                            request   conversation  -
Group.CallbackBeforeSendMsg                              request   conversation  MsgTime
Group.CallbackAfterSendMsg                               key       conversation  MsgTime
Group.CallbackAfterRecallMsg                             request   conversation  -
Group.CallbackAfterModifyMsg                             request   conversation  -
Group.CallbackAfterGroupFull                             request   conversation  -
Group.CallbackAfterGroupDestroyed                        request   conversation  -
Group.CallbackAfterGroupInfoChanged                      request   conversation  -
Group.CallbackOnMemberStateChange                        request   conversation  -
Group.CallbackSendMsgException                           request   conversation  -
Group.CallbackBeforeCreateTopic                          request   conversation  -
Group.CallbackAfterCreateTopic                           request   conversation  -
Group.CallbackAfterTopicDestroyed                        request   conversation  -
Group.CallbackAfterTopicInfoChanged                      request   conversation  -
Group.CallbackAfterMemberFieldChanged                    request   conversation  -
Group.CallbackAfterGroupAttrChanged                      request   conversation  -
Group.CallbackAfterReadReceipt                           request   conversation  -
Group.CallbackAfterChangeGroupOwner                      request   conversation  -
Group.CallbackOnDailyGroupQuotaAlarm                     request   conversation  -

# Official accounts
OfficialAccount.CallbackBeforeCreateOfficialAccount      request   conversation  -
OfficialAccount.CallbackAfterCreateOfficialAccount       request   conversation  -
OfficialAccount.CallbackAfterOfficialAccountInfoChanged  request   conversation  -
OfficialAccount.CallbackAfterOfficialAccountDestroyed    request   conversation  -
OfficialAccount.CallbackBeforeAddSubscriber              request   conversation  -
OfficialAccount.CallbackAfterAddSubscriber               request   conversation  -
OfficialAccount.CallbackAfterOfficialAccountFull         request   conversation  -
OfficialAccount.CallbackAfterDeleteSubscriber            request   conversation  -
OfficialAccount.CallbackBeforeSendMsg                    request   conversation  -
OfficialAccount.CallbackAfterSendMsg                     key       conversation  MsgTime
OfficialAccount.CallbackAfterMsgWithDraw                 request   conversation  -

# Chatbots
Bot.OnC2CMessage                                         key       conversation  MsgTime
Bot.OnGroupMessage                                       key       conversation  MsgTime
Chatbot.OnC2CSignalMessage                               request   conversation  -

# Content moderation, push notifications, alarms
ContentCallback.ResultNotify                             request   conversation  -
Push.OfflinePush                                         request   conversation  -
Push.AllMemberPush                                       request   conversation  -
Alert.RequestOverLimit                                   request   conversation  -

# Live rooms, their seats, battles and gifts
Live.CallbackAfterCreateRoom                             request   conversation  -
Live.CallbackAfterDestroyRoom                            request   conversation  -
Live.CallbackAfterUpdateRoomInfo                         request   conversation  -
Live.CallbackAfterSetMetadata                            request   conversation  -
Live.CallbackAfterDelMetadata                            request   conversation  -
Live.CallbackAfterCreateRoomReachingThreshold            request   conversation  -
Live.CallbackAfterMemberStateChanged                     request   conversation  -
Live.CallbackAfterChangeOwner                            request   conversation  -
Live.CallbackAfterModifyAdmin                            request   conversation  -
Mic.CallbackAfterSeatInfoChanged                         request   conversation  -
Live.CallbackAfterCreateBattle                           request   conversation  -
Live.CallbackAfterStartBattle                            request   conversation  StartTime
Live.CallbackAfterEndBattle                              request   conversation  EndTime
Live.CallbackBeforeSendGift                              request   conversation  -
Live.CallbackBeforeCallBackNotBlock                      request   conversation  -
"""

Identity = Literal["key", "request"]
Order = Literal["conversation", "account"]


class Command(NamedTuple):
    """The rules by which the callbacks of a command are identified, ordered and dated."""

    identity: Identity
    order: Order
    times: tuple[str, ...] = ()


# The vendor adds commands. An unknown one is identified by the request, ordered by conversation,
# and dated only by EventTime.
UNKNOWN = Command("request", "conversation")


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
