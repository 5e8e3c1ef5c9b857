const { player, text, time, unique } = require("../helper");

const OTHERS_READ = { other: 1 };
const HOUR_MS = 3600 * 1000;

module.exports = {
  async "an entity that all players see"() {
    const [ada, bob] = [await player(), await player()];
    const type = unique("island");
    const { entityId } = await ada.globalEntity
      .createEntity(type, HOUR_MS, OTHERS_READ, { trees: 1 })
      .gives({ entityId: text, entityType: type, version: 1, timeToLive: HOUR_MS, ownerId: ada.id, createdAt: time });
    await bob.globalEntity.readEntity(entityId).gives({ entityId, data: { trees: 1 } });
    await ada.globalEntity.updateEntity(entityId, 1, { trees: 2 }).gives({ version: 2 });
    await ada.globalEntity.incrementGlobalEntityData(entityId, { trees: 5 }).gives({ version: 3, data: { trees: 7 } });
    await ada.globalEntity.updateEntityTimeToLive(entityId, 2 * HOUR_MS, 3).gives({ version: 4, timeToLive: 2 * HOUR_MS });
    await ada.globalEntity.updateEntityUpdateTimeToLive(entityId, -1, 4).gives({ version: 5, timeToLive: -1 });
    await bob.globalEntity.updateEntity(entityId, 5, { trees: 0 }).refused(403, 40346);
    await ada.globalEntity.updateEntityAcl(entityId, { other: 0 }, 5).gives({ version: 6, acl: { other: 0 } });
    await bob.globalEntity.readEntity(entityId).refused(403, 40346);
    await ada.globalEntity
      .updateEntityOwnerAndAcl(entityId, 6, bob.id, OTHERS_READ)
      .gives({ version: 7, ownerId: bob.id, acl: OTHERS_READ });
    await bob.globalEntity
      .makeSystemEntity(entityId, 7, { other: 2 })
      .gives({ version: 8, ownerId: null, acl: { other: 2 } });
    await ada.globalEntity.deleteEntity(entityId, 8).gives(null);
    await ada.globalEntity.readEntity(entityId).refused(400, 40345);
  },

  async "lists, pages and ids of the game's own"() {
    const { globalEntity } = await player();
    const [type, region] = [unique("island"), unique("region")];
    const made = [];
    for (const trees of [3, 1, 2]) {
      made.push(
        await globalEntity
          .createEntityWithIndexedId(type, region, -1, OTHERS_READ, { trees })
          .gives({ entityIndexedId: region }),
      );
    }
    await globalEntity
      .getList({ entityType: type, "data.trees": { $gt: 1 } }, { "data.trees": 1 }, 10)
      .gives({ entityListCount: 2, entityList: [{ data: { trees: 2 } }, { data: { trees: 3 } }] });
    await globalEntity.getListCount({ entityType: type }).gives({ entityListCount: 3 });
    await globalEntity
      .getListByIndexedId(region, 2)
      .gives({ entityListCount: 2, entityList: [{ entityIndexedId: region }, { entityIndexedId: region }] });
    await globalEntity
      .getRandomEntitiesMatching({ entityType: type, "data.trees": 3 }, 5)
      .gives({ entityList: [{ entityId: made[0].entityId }] });
    await globalEntity.updateEntityIndexedId(made[0].entityId, 1, unique("elsewhere")).gives({ version: 2 });
    await globalEntity.getListByIndexedId(region, 10).gives({ entityListCount: 2 });

    const search = {
      pagination: { rowsPerPage: 2, pageNumber: 1, doCount: true },
      searchCriteria: { entityType: type },
      sortCriteria: { "data.trees": 1 },
    };
    const { context } = await globalEntity
      .getPage(search)
      .gives({ context: text, results: { count: 3, items: [{ data: { trees: 1 } }, { data: { trees: 2 } }] } });
    await globalEntity
      .getPageOffset(context, 1)
      .gives({ results: { page: 2, moreAfter: false, items: [{ data: { trees: 3 } }] } });
    await globalEntity.getList({ $where: "1" }, null, 10).refused(400, 40349);
  },
};
