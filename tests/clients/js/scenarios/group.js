const { empty, expect, player, serverCall, text, time, unique } = require("../helper");

const ids = (found) => found.map((group) => group.groupId);

module.exports = {
  async "a group is made, read and deleted"() {
    const [ada, bob] = [await player(), await player()];
    const { group } = ada;
    await group.createGroup("None", "unknown", true, null, null, null, null).refused(400, 40467);
    const shown = { name: "Reds", groupType: "crew", ownerId: ada.id, memberCount: 1, version: 1, isOpenGroup: true };
    const acl = { member: 2, other: 0 };
    const { groupId } = await group
      .createGroup("Reds", "crew", true, acl, { n: 1 }, { rank: 1 }, { rank: 9 })
      .gives({ ...shown, acl, data: { n: 1 }, defaultMemberAttributes: { rank: 9 }, pendingMembers: empty, createdAt: time });
    const members = { [ada.id]: { role: "OWNER", attributes: { rank: 1 } } };
    await group.readGroup(groupId).gives({ ...shown, gameId: text, members, data: { n: 1 }, updatedAt: time });
    await bob.group.readGroup(groupId).gives({ ...shown, members: empty, data: undefined });
    await group.readGroupData(groupId).gives({ data: { n: 1 } });
    await bob.group.readGroupData(groupId).refused(400, 40453);
    await ada.playerState.updateUserName("Ada").gives({});
    await group.readGroupMembers(groupId).gives({ [ada.id]: { role: "OWNER", playerName: "Ada", pic: null } });
    await bob.group.readGroupMembers(groupId).refused(400, 40453);
    const summary = { summaryData: { flag: "blue" }, data: undefined };
    const { groupId: second } = await group
      .createGroupWithSummaryData("Blues", "crew", false, null, null, null, null, summary.summaryData)
      .gives({ summaryData: summary.summaryData });
    const mine = await group.getMyGroups().gives({ invited: [], requested: [] });
    expect(ids(mine.groups), [groupId, second], "own groups");
    await bob.group.listGroupsWithMember(ada.id).gives({ groups: [shown, { ...summary, memberCount: 1 }] });
    await bob.group.deleteGroup(groupId, -1).refused(400, 40453);
    await group.deleteGroup(groupId, 7).refused(400, 40460);
    await group.deleteGroup(groupId, 1).gives(null);
    await group.readGroup(groupId).refused(400, 40345);
  },

  async "players come in and go"() {
    const [owner, bob, cleo] = [await player(), await player(), await player()];
    const { group } = owner;
    const { groupId } = await group.createGroup("Reds", "crew", true, null, null, null, null).gives({});
    await bob.group.joinGroup(groupId).gives(null);
    await group.leaveGroup(groupId).refused(400, 40458);
    await bob.group.leaveGroup(groupId).gives(null);
    await group.setGroupOpen(groupId, false).gives(null);

    await bob.group.joinGroup(groupId).gives(null);
    await bob.group.getMyGroups().gives({ requested: [{ groupId, requestingPendingMemberCount: 1 }] });
    await group.rejectGroupJoinRequest(groupId, bob.id).gives(null);
    await bob.group.joinGroup(groupId).gives(null);
    await group.approveGroupJoinRequest(groupId, bob.id, "MEMBER", { rank: 3 }).gives(null);
    await group.approveGroupJoinRequest(groupId, bob.id, "MEMBER", null).refused(400, 40734);
    await bob.group.addGroupMember(groupId, cleo.id, "MEMBER", null).refused(403, 40346);

    await group.inviteGroupMember(groupId, cleo.id, "OWNER", null).refused(400, 40452);
    await group.inviteGroupMember(groupId, cleo.id, "KING", null).refused(400, 40454);
    for (const answer of [() => group.cancelGroupInvitation(groupId, cleo.id), () => cleo.group.rejectGroupInvitation(groupId)]) {
      await group.inviteGroupMember(groupId, cleo.id, "ADMIN", { rank: 2 }).gives(null);
      await cleo.group.getMyGroups().gives({ invited: [{ groupId, invitedPendingMemberCount: 1, name: "Reds" }] });
      await answer().gives(null);
      await cleo.group.acceptGroupInvitation(groupId).refused(400, 40456);
    }
    await group.inviteGroupMember(groupId, cleo.id, "ADMIN", { rank: 2 }).gives(null);
    await cleo.group.acceptGroupInvitation(groupId).gives(null);

    await group.addGroupMember(groupId, cleo.id, "MEMBER", null).refused(400, 40749);
    await cleo.group.removeGroupMember(groupId, owner.id).refused(400, 40455);
    await cleo.group.updateGroupMember(groupId, bob.id, "ADMIN", { rank: 1 }).gives(null);
    await group.readGroup(groupId).gives({
      memberCount: 3,
      members: { [bob.id]: { role: "ADMIN", attributes: { rank: 1 } }, [cleo.id]: { role: "ADMIN", attributes: { rank: 2 } } },
    });
    await bob.group.removeGroupMember(groupId, cleo.id).gives(null);
    await group.removeGroupMember(groupId, cleo.id).refused(400, 40385);
    await serverCall("group.SYS_UPDATE_GROUP_MEMBER", { groupId, profileId: bob.id, role: "OWNER" });
    await bob.group.readGroup(groupId).gives({ ownerId: bob.id, members: { [owner.id]: { role: "ADMIN" } } });
  },

  async "what a group shows is changed"() {
    const [ada, bob] = [await player(), await player()];
    const { groupId } = await ada.group.createGroup("Reds", "crew", true, null, { n: 1 }, null, null).gives({});
    await ada.group.updateGroupName(groupId, "Blues").gives(null);
    await ada.group.updateGroupData(groupId, 2, { n: 2, indexedId: "x" }).gives({ version: 3, data: { n: 2 }, name: "Blues" });
    await ada.group.updateGroupData(groupId, 2, { n: 3 }).refused(400, 40460);
    await ada.group.updateGroupSummaryData(groupId, 3, { flag: 1 }).gives({ version: 4, summaryData: { flag: 1 } });
    await ada.group.incrementGroupData(groupId, { n: 1.5, m: 1 }).gives(null);
    await bob.group.incrementGroupData(groupId, { n: 1 }).refused(400, 40453);
    await ada.group.readGroupData(groupId).gives({ data: { n: 3.5, m: 1, indexedId: "x" } });
    await ada.raw("group", "UPDATE_GROUP_ACL", { groupId, acl: { member: 1, other: 1 } }).gives({ acl: { member: 1, other: 1 } });
    await bob.group.readGroupData(groupId).gives({ data: { n: 3.5 } });
  },

  async "groups are found and joined"() {
    const [ada, bob, cleo] = [await player(), await player(), await player()];
    const tag = unique("tag");
    for (const name of ["a", "b", "c"]) {
      await ada.group.createGroup(name, "crew", true, null, { indexedId: tag }, null, null).gives({});
    }
    const where = { "data.indexedId": tag };
    const context = { pagination: { rowsPerPage: 2, pageNumber: 1 }, searchCriteria: where, sortCriteria: { name: 1 } };
    const page = await bob.group
      .listGroupsPage(context)
      .gives({ results: { count: 3, page: 1, moreAfter: true, moreBefore: false, items: [{ name: "a" }, { name: "b" }] } });
    await bob.group
      .listGroupsPageByOffset(page.context, 1)
      .gives({ results: { page: 2, moreAfter: false, items: [{ name: "c", memberCount: 1 }] } });
    await bob.group.listGroupsPageByOffset("nothing", 1).refused(400, 40383);
    await bob.group.getRandomGroupsMatching(where, 2).gives({ count: 2, groups: [{ groupId: text }, { groupId: text }] });
    const { joinFirstGroup, joinRandomGroup } = bob.group.autoJoinStrategy;
    const { groupId } = await bob.group.autoJoinGroup("crew", joinFirstGroup, JSON.stringify(where)).gives({ memberCount: 2 });
    await cleo.group.autoJoinGroup("crew", joinFirstGroup, where).gives({ groupId, memberCount: 3 });
    const other = await bob.group
      .autoJoinGroupMulti(["crew"], joinRandomGroup, where)
      .gives({ memberCount: 2, members: undefined, isOpenGroup: true });
    expect(other.groupId === groupId, false, "another group");
    await bob.group.autoJoinGroup("unknown", joinFirstGroup, where).refused(400, 40467);
    await bob.group.autoJoinGroup("crew", joinFirstGroup, { "data.indexedId": unique("none") }).refused(400, 40468);
  },
};
