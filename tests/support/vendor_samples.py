"""One callback of each command, with the fields that Tencent documents and made-up values."""

from typing import Any, NamedTuple

AT_MS = 1764688415123
AT_S = AT_MS // 1000
TEXT = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hello"}}]
NUMBERS = {"MsgSeq": 901, "MsgRandom": 77, "MsgTime": AT_S, "MsgKey": f"901_77_{AT_S}"}
GROUP = {"GroupId": "@TGS#1", "Type": "Public"}
TOPIC = {"GroupId": "@TGS#_1", "TopicId": "@TGS#_1@TOPIC#_a", "Type": "Community"}
PAIRS = [{"From_Account": "ann", "To_Account": to} for to in ("bob", "cid")]
ROOM = {"RoomId": "room-1", "Operator_Account": "ann"}
BATTLE = {
    "BattleId": "b+1=",
    "FromRoomInfo": {"RoomId": "room-1", "Owner_Account": "ann"},
    "ToRoomList": [{"RoomId": "room-2", "Owner_Account": "bob"}],
}
CHANNEL = {"Official_Account": "@TOA#_news"}
SUBSCRIBERS = {"SubscribeAccountList": [{"Subscriber_Account": "ann"}]}
CHAT = {"From_Account": "ann", "To_Account": "bob"}
PUSHED = {"EventType": 1, "EventTime": AT_S, "PushStage": 1, "ErrCode": 0}


class Sample(NamedTuple):
    """A callback's document, and the expected event; `key` is the record's key without the app."""

    document: dict[str, Any]
    key: str | None
    sender: str = ""
    recipient: str = ""
    group: str = ""


def _at(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"EventTime": AT_MS}


def _members(*accounts: str) -> list[dict[str, str]]:
    return [{"Member_Account": account} for account in accounts]


def _group(fields: dict[str, Any], sender: str = "", recipient: str = "") -> Sample:
    document = _at(GROUP | fields) | {"EventTime": str(AT_MS)}
    return Sample(document, "group/@TGS#1", sender, recipient, "@TGS#1")


def _topic(fields: dict[str, Any], sender: str = "") -> Sample:
    return Sample(_at(TOPIC | fields), "group/@TGS#_1", sender, "", "@TGS#_1")


def _channel(fields: dict[str, Any], sender: str, recipient: str = "") -> Sample:
    return Sample(_at(CHANNEL | fields), "channel/@TOA#_news", sender, recipient)


def _room(fields: dict[str, Any], sender: str = "ann", recipient: str = "") -> Sample:
    return Sample(_at(fields), "group/room-1", sender, recipient, "room-1")


def _chat(fields: dict[str, Any]) -> Sample:
    return Sample(_at(CHAT | fields), "pair/3/ann/bob", "ann", "bob")


def _account(
    fields: dict[str, Any], sender: str, recipient: str = "", owner: str = "ann"
) -> Sample:
    return Sample(_at(fields), f"account/{owner}", sender, recipient)


GROUP_MESSAGE = {
    "From_Account": "ann",
    "Operator_Account": "root",
    "Random": 77,
    "MsgSeq": 12,
    "MsgTime": AT_S,
    "OnlineOnlyFlag": 0,
    "MsgBody": TEXT,
    "CloudCustomData": "",
}

SAMPLES: dict[str, Sample] = {
    "State.StateChange": _account(
        {"Info": {"Action": "Login", "To_Account": "ann", "Reason": "Register"}}, "", "ann"
    ),
    "Profile.CallbackPortraitSet": _account(
        {
            "From_Account": "ann",
            "Operator_Account": "root",
            "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "Ann"}],
        },
        "ann",
    ),
    "Sns.CallbackPrevFriendAdd": _account(
        {
            "Requester_Account": "root",
            "From_Account": "ann",
            "FriendItem": [{"To_Account": "bob", "AddWording": "hi"}],
            "AddType": "Add_Type_Both",
        },
        "ann",
        "bob",
    ),
    "Sns.CallbackPrevFriendResponse": _account(
        {
            "Requester_Account": "root",
            "From_Account": "ann",
            "ResponseFriendItem": [
                {"To_Account": "bob", "ResponseAction": "Response_Action_Agree"},
                {"To_Account": "cid", "ResponseAction": "Response_Action_Reject"},
            ],
        },
        "ann",
    ),
    "Sns.CallbackFriendAdd": _account(
        {"PairList": PAIRS, "ClientCmd": "friend_add", "Admin_Account": "", "ForceFlag": 1}, "ann"
    ),
    "Sns.CallbackFriendDelete": _account({"PairList": PAIRS[:1]}, "ann", "bob"),
    "Sns.CallbackBlackListAdd": _account({"PairList": PAIRS}, "ann"),
    "Sns.CallbackBlackListDelete": _account({"PairList": PAIRS[1:]}, "ann", "cid"),
    "Follow.CallbackAfterFollowAdd": _account(
        {"From_Account": "ann", "FollowList": [{"To_Account": "bob"}, {"To_Account": "cid"}]}, "ann"
    ),
    "Follow.CallbackAfterFollowDelete": _account(
        {"From_Account": "ann", "To_Account": ["bob"]}, "ann", "bob"
    ),
    "C2C.CallbackBeforeSendMsg": _chat(NUMBERS | {"OnlineOnlyFlag": 0, "MsgBody": TEXT}),
    "C2C.CallbackAfterSendMsg": _chat(
        NUMBERS
        | {
            "MsgId": "144115233406643804-1727580296-4026038328",
            "SendMsgResult": 0,
            "ErrorInfo": "send msg succeed",
            "UnreadMsgNum": 7,
            "MsgBody": TEXT,
        }
    ),
    "C2C.CallbackAfterMsgReport": Sample(
        _at(
            {
                "Report_Account": "bob",
                "Peer_Account": "ann",
                "LastReadTime": AT_S,
                "UnreadMsgNum": 0,
            }
        ),
        "pair/3/ann/bob",
        "bob",
        "ann",
    ),
    "C2C.CallbackAfterMsgWithDraw": _chat({"MsgKey": NUMBERS["MsgKey"], "UnreadMsgNum": 6}),
    "C2C.CallbackAfterC2CMsgExtension": _chat(
        {
            "MsgKey": NUMBERS["MsgKey"],
            "OperateType": 1,
            "ExtensionList": [{"Key": "color", "Value": "red", "Seq": 1}],
            "Seq": 1,
        }
    ),
    "C2C.CallbackAfterModifyMsg": _chat(
        NUMBERS | {"Operator_Account": "ann", "MsgBody": TEXT, "CloudCustomData": "edited"}
    ),
    "Group.CallbackBeforeCreateGroup": _account(
        {
            "Operator_Account": "ann",
            "Owner_Account": "bob",
            "Type": "Public",
            "Name": "club",
            "CreateGroupNum": 3,
            "MemberList": _members("cid", "dan"),
        },
        "ann",
    ),
    "Group.CallbackAfterCreateGroup": _group(
        {
            "Operator_Account": "ann",
            "Owner_Account": "ann",
            "Name": "club",
            "MemberList": _members("bob", "cid"),
        },
        "ann",
    ),
    "Group.CallbackBeforeApplyJoinGroup": _group({"Requestor_Account": "ann"}, "ann"),
    "Group.CallbackBeforeInviteJoinGroup": _group(
        {"Operator_Account": "ann", "DestinationMembers": _members("bob")}, "ann"
    ),
    "Group.CallbackAfterNewMemberJoin": _group(
        {"JoinType": "Apply", "Operator_Account": "ann", "NewMemberList": _members("bob")}, "ann"
    ),
    "Group.CallbackAfterMemberExit": _group(
        {"ExitType": "Kicked", "Operator_Account": "ann", "ExitMemberList": _members("bob")}, "ann"
    ),
    "Group.CallbackBeforeSendMsg": _topic(GROUP_MESSAGE, "ann"),
    "Group.CallbackAfterSendMsg": _topic(GROUP_MESSAGE, "ann"),
    "Group.CallbackAfterRecallMsg": _topic(
        {"Operator_Account": "ann", "MsgSeqList": [{"MsgSeq": 130}]}, "ann"
    ),
    "Group.CallbackAfterModifyMsg": _topic(
        {"From_Account": "ann", "Operator_Account": "ann", "MsgSeq": 130, "MsgBody": TEXT}, "ann"
    ),
    "Group.CallbackAfterGroupFull": _group({}),
    "Group.CallbackAfterGroupDestroyed": _group(
        {"Owner_Account": "ann", "Name": "club", "MemberList": _members("bob")}, "ann"
    ),
    "Group.CallbackAfterGroupInfoChanged": _group(
        {"Operator_Account": "ann", "Notification": "new"}, "ann"
    ),
    "Group.CallbackOnMemberStateChange": _group(
        {"EventType": "Offline", "MemberList": _members("ann", "bob")}
    ),
    "Group.CallbackSendMsgException": _group(
        GROUP_MESSAGE | {"ErrorCode": 10023, "ErrorInfo": "msg count exceeds limit"}, "ann"
    ),
    "Group.CallbackBeforeCreateTopic": _account(
        {"Operator_Account": "ann", "Type": "Community", "Name": "rules"}, "ann"
    ),
    "Group.CallbackAfterCreateTopic": _topic({"Operator_Account": "ann", "Name": "rules"}, "ann"),
    "Group.CallbackAfterTopicDestroyed": _topic(
        {"Operator_Account": "ann", "TopicIdList": ["@TGS#_1@TOPIC#_a", "@TGS#_1@TOPIC#_b"]}, "ann"
    ),
    "Group.CallbackAfterTopicInfoChanged": _topic(
        {"Operator_Account": "ann", "Introduction": "read this"}, "ann"
    ),
    "Group.CallbackAfterMemberFieldChanged": _group(
        {
            "Operator_Account": "ann",
            "Member_Account": "bob",
            "NameCard": "Bob",
        },
        "ann",
    ),
    "Group.CallbackAfterGroupAttrChanged": _group(
        {
            "Operator_Account": "ann",
            "OptionType": "set",
            "GroupAttr": [{"key": "k", "value": "v"}],
        },
        "ann",
    ),
    "Group.CallbackAfterReadReceipt": _group(
        {
            "GroupMsgReceiptList": [
                {"MsgSeq": 1, "ReadNum": 1, "UnreadNum": 6, "ReadReceiptMembers": _members("bob")}
            ]
        }
    ),
    "Group.CallbackAfterChangeGroupOwner": _group(
        {"Operator_Account": "root", "OldOwner_Account": "ann", "NewOwner_Account": "bob"},
        "root",
        "bob",
    ),
    "Group.CallbackOnDailyGroupQuotaAlarm": Sample(_at({"QuotaUsed": 900, "Quota": 1000}), None),
    "OfficialAccount.CallbackBeforeCreateOfficialAccount": _account(
        {"Operator_Account": "ann", "Owner_Account": "ann", "Name": "news"}, "ann"
    ),
    "OfficialAccount.CallbackAfterCreateOfficialAccount": _channel(
        {"Operator_Account": "ann", "Owner_Account": "bob", "Name": "news"}, "ann", "@TOA#_news"
    ),
    "OfficialAccount.CallbackAfterOfficialAccountInfoChanged": _channel(
        {"Operator_Account": "ann", "Introduction": "new"}, "ann", "@TOA#_news"
    ),
    "OfficialAccount.CallbackAfterOfficialAccountDestroyed": _channel(
        {"Owner_Account": "ann", "Name": "news"}, "ann", "@TOA#_news"
    ),
    "OfficialAccount.CallbackBeforeAddSubscriber": _channel(
        {"Operator_Account": "ann"} | SUBSCRIBERS, "ann", "@TOA#_news"
    ),
    "OfficialAccount.CallbackAfterAddSubscriber": _channel(
        {"Operator_Account": "ann"} | SUBSCRIBERS, "ann", "@TOA#_news"
    ),
    "OfficialAccount.CallbackAfterOfficialAccountFull": _channel({}, "@TOA#_news"),
    "OfficialAccount.CallbackAfterDeleteSubscriber": _channel(
        {"Operator_Account": "ann"} | SUBSCRIBERS, "ann", "@TOA#_news"
    ),
    "OfficialAccount.CallbackBeforeSendMsg": _channel({"MsgBody": TEXT}, "@TOA#_news"),
    "OfficialAccount.CallbackAfterSendMsg": _channel(
        {"MsgKey": f"71_1_{AT_S}", "MsgSeq": 71, "MsgTime": AT_S, "MsgBody": TEXT}, "@TOA#_news"
    ),
    "OfficialAccount.CallbackAfterMsgWithDraw": _channel(
        {"WithdrawMsgList": [{"MsgKey": f"71_1_{AT_S}"}]}, "@TOA#_news"
    ),
    "Bot.OnC2CMessage": _chat(NUMBERS | {"SendMsgResult": 0, "MsgBody": TEXT}),
    "Bot.OnGroupMessage": _topic(GROUP_MESSAGE | {"AtRobots_Account": ["@RBT#001"]}, "ann"),
    "Chatbot.OnC2CSignalMessage": _chat(NUMBERS | {"MsgBody": TEXT}),
    "ContentCallback.ResultNotify": Sample(
        {
            "Scene": "Group",
            "SdkAppId": 1400000001,
            "From_Account": "ann",
            "ContactItem": {"ContactType": 2, "ToGroupId": "@TGS#1"},
            "ContentType": "Text",
            "TextContent": ["hello"],
            "MsgID": "12",
            "CtxcbResult": 1,
            "CtxcbRequestId": "241ed925-4c56-4357-95dd-1e6e7798f214",
        },
        "group/@TGS#1",
        "ann",
        "",
        "@TGS#1",
    ),
    "Push.OfflinePush": Sample(
        {"Events": [PUSHED | CHAT | NUMBERS, PUSHED | CHAT | NUMBERS | {"PushStage": 2}]},
        "pair/3/ann/bob",
        "ann",
        "bob",
    ),
    "Push.AllMemberPush": Sample(
        {"Events": [PUSHED | {"TaskId": "t", "To_Account": to} for to in ("ann", "bob")]}, None
    ),
    "Alert.RequestOverLimit": Sample(_at({"Command": "sendmsg", "Limit": 200}), None),
    "Live.CallbackAfterCreateRoom": _room(
        {
            "Operator_Account": "ann",
            "RoomInfo": {"RoomId": "room-1", "RoomName": "mine", "Owner_Account": "bob"},
        }
    ),
    "Live.CallbackAfterDestroyRoom": _room(ROOM),
    "Live.CallbackAfterUpdateRoomInfo": _room(
        {"Operator_Account": "ann", "RoomInfo": {"RoomId": "room-1", "RoomName": "ours"}}
    ),
    "Live.CallbackAfterSetMetadata": _room(ROOM | {"Metadata": [{"Key": "k", "Value": "v"}]}),
    "Live.CallbackAfterDelMetadata": _room(ROOM | {"Keys": ["k"]}),
    "Live.CallbackAfterCreateRoomReachingThreshold": _account(
        {"Operator_Account": "ann", "CurRoomCount": 400, "MaxRoomCount": 500}, "ann"
    ),
    "Live.CallbackAfterMemberStateChanged": _room(
        {"RoomId": "room-1", "EventType": "Online", "MemberList": _members("bob")}, ""
    ),
    "Live.CallbackAfterChangeOwner": _room(
        ROOM | {"CurrentOwner_Account": "bob", "OriginalOwner_Account": "ann"}, "ann", "bob"
    ),
    "Live.CallbackAfterModifyAdmin": _room(
        ROOM | {"Admin_Account": ["bob", "cid"], "opType": "add"}
    ),
    "Mic.CallbackAfterSeatInfoChanged": _room(ROOM | {"SeatList": [{"Index": 0}]}),
    "Live.CallbackAfterCreateBattle": _room(
        {
            "Operator_Account": "ann",
            "BattleId": "b+1=",
            "FromRoomId": "room-1",
            "ToRoomIdList": ["room-2"],
        }
    ),
    "Live.CallbackAfterStartBattle": _room(BATTLE | {"Duration": 30000, "StartTime": AT_S}, ""),
    "Live.CallbackAfterEndBattle": _room(BATTLE | {"Duration": 30000, "EndTime": AT_S}, ""),
    "Live.CallbackBeforeSendGift": _room(
        ROOM
        | {
            "GiftWater": {
                "From_Account": "cid",
                "To_Account": ["bob"],
                "Time": AT_S,
                "GiftId": "rose",
                "Count": 1,
            }
        },
        "cid",
        "bob",
    ),
    "Live.CallbackBeforeCallBackNotBlock": _room(ROOM),
}
