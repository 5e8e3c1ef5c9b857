const { expect, player, serverCall, time } = require("../helper");

const ids = (found) => found.results.items.map((item) => item.entityId);

// A group with an owner, a member who makes entities, and somebody outside.
async function crew() {
  const [owner, member, outsider] = [await player(), await player(), await player()];
  const { groupId } = await owner.group.createGroup("Crew", "crew", true, null, null, null, null).gives({});
  await member.group.joinGroup(groupId).gives(null);
  return { owner, member, outsider, groupId };
}

module.exports = {
  async "members share entities of their group"() {
    const { owner, member, outsider, groupId } = await crew();
    const made = { groupId, ownerId: null, entityType: "castle", version: 1, data: { walls: 1 }, createdAt: time };
    const { entityId } = await member.group
      .createGroupEntity(groupId, "castle", false, null, { walls: 1 })
      .gives({ ...made, acl: { member: 2, other: 0 }, updatedAt: time });
    await owner.group.updateGroupEntityData(groupId, entityId, 1, { walls: 2 }).gives(null);
    await member.group.updateGroupEntityData(groupId, entityId, 1, { walls: 9 }).refused(400, 40461);
    await member.group.incrementGroupEntityData(groupId, entityId, { walls: 3, towers: 1 }).gives(null);
    await member.group.incrementGroupEntityData(groupId, entityId, { walls: "x" }).refused(400, 40459);
    await owner.group
      .readGroupEntity(groupId, entityId)
      .gives({ ...made, version: 3, data: { walls: 5, towers: 1 }, _serverTime: time });
    await outsider.group.readGroupEntity(groupId, entityId).refused(400, 40453);
    await outsider.group.createGroupEntity(groupId, "castle", false, null, {}).refused(400, 40453);
    const shared = { groupId, entityId, acl: { member: 2, other: 1 } };
    await member.raw("group", "UPDATE_GROUP_ENTITY_ACL", shared).refused(403, 40346);
    await owner.raw("group", "UPDATE_GROUP_ENTITY_ACL", shared).gives({ ...shared, version: 4, updatedAt: time });
    await outsider.group.readGroupEntity(groupId, entityId).gives({ acl: { member: 2, other: 1 } });
    await member.group.deleteGroupEntity(groupId, entityId, 3).refused(400, 40461);
    await member.group.deleteGroupEntity(groupId, entityId, 4).gives(null);
    await owner.group.readGroupEntity(groupId, entityId).refused(400, 40345);
  },

  async "what a member owns is for others as its ACL says"() {
    const { owner, member, outsider, groupId } = await crew();
    const mine = { ownerId: member.id, acl: { member: 1, other: 0 } };
    const { entityId } = await member.group.createGroupEntity(groupId, "hut", true, mine.acl, null).gives(mine);
    await member.group.createGroupEntity(groupId, "hut", false, mine.acl, null).refused(400, 40746);
    await member.group.createGroupEntity(groupId, "hut", true, { member: 1, other: 2 }, null).refused(400, 40745);
    await member.group.createGroupEntity(groupId, "hut", true, { other: 1 }, null).refused(400, 40747);
    await member.group.leaveGroup(groupId).gives(null);
    await member.group.readGroupEntity(groupId, entityId).refused(400, 40453);
    await outsider.group.joinGroup(groupId).gives(null);
    await outsider.group.readGroupEntity(groupId, entityId).gives(mine);
    await outsider.group.updateGroupEntityData(groupId, entityId, -1, {}).refused(403, 40346);
    await owner.group.updateGroupEntityData(groupId, entityId, -1, { a: 1 }).gives(null);
  },

  async "pages hold what the reader may see"() {
    const { owner, outsider, groupId } = await crew();
    for (const other of [0, 1, 1]) {
      await owner.group.createGroupEntity(groupId, "hut", true, { member: 2, other }, { other }).gives({});
    }
    const context = {
      pagination: { rowsPerPage: 1, pageNumber: 1 },
      searchCriteria: { groupId, entityType: "hut" },
      sortCriteria: { createdAt: 1 },
    };
    const first = await outsider.group.readGroupEntitiesPage(context).gives({ results: { count: 2, moreAfter: true } });
    const second = await outsider.group
      .readGroupEntitiesPageByOffset(first.context, 1)
      .gives({ results: { page: 2, moreBefore: true, moreAfter: false }, _serverTime: time });
    expect(new Set([...ids(first), ...ids(second)]).size, 2, "two pages");
    await owner.group.readGroupEntitiesPage(context).gives({ results: { count: 3 } });
    await owner.group.readGroupEntitiesPage({ searchCriteria: {} }).refused(400, 40384);
    await owner.group.readGroupEntitiesPageByOffset("nothing", 1).refused(400, 40383);
    const listed = await serverCall("group.SYS_READ_GROUP_ENTITIES_PAGE", { context });
    expect(listed.results.count, 3, "for servers");
  },
};
