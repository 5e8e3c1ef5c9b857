const { expect, player, text, time } = require("../helper");

const OTHERS_READ = { other: 1 };
const OTHERS_WRITE = { other: 2 };

module.exports = {
  async "entities of a player"() {
    const { entity } = await player();
    const { entityId } = await entity
      .createEntity("chest", { gold: 1 }, OTHERS_READ)
      .gives({ entityId: text, entityType: "chest", version: 1, acl: OTHERS_READ, createdAt: time });
    await entity.createEntity("key", { door: "north" }, null).gives({ version: 1, acl: { other: 0 } });
    await entity.getEntity(entityId).gives({ entityId, data: { gold: 1 }, version: 1 });
    await entity.updateEntity(entityId, "chest", { gold: 5 }, OTHERS_READ, 1).gives({ version: 2, data: { gold: 5 } });
    await entity
      .incrementUserEntityData(entityId, { gold: 3, silver: 2 })
      .gives({ version: 3, data: { gold: 8, silver: 2 } });
    await entity.getEntitiesByType("chest").gives({ entityListCount: 1, entities: [{ entityId, data: { gold: 8 } }] });
    await entity.deleteEntity(entityId, 3).gives(null);
    await entity.getEntity(entityId).refused(400, 40345);
  },

  async "lists and pages"() {
    const { entity } = await player();
    for (const gold of [3, 1, 2]) await entity.createEntity("chest", { gold }, null).gives({ version: 1 });
    await entity
      .getList({ "data.gold": { $gte: 2 } }, { "data.gold": 1 }, 10)
      .gives({ entityListCount: 2, entityList: [{ data: { gold: 2 } }, { data: { gold: 3 } }] });
    await entity.getListCount({ entityType: "chest" }).gives({ entityListCount: 3 });
    const search = {
      pagination: { rowsPerPage: 2, pageNumber: 1, doCount: true },
      searchCriteria: { entityType: "chest" },
      sortCriteria: { "data.gold": -1 },
    };
    const { context } = await entity
      .getPage(search)
      .gives({
        context: text,
        results: { count: 3, moreAfter: true, items: [{ data: { gold: 3 } }, { data: { gold: 2 } }] },
      });
    await entity.getPageOffset(context, 1).gives({ results: { page: 2, moreBefore: true, items: [{ data: { gold: 1 } }] } });
    await entity.getPageOffset("no context", 1).refused(400, 40383);
  },

  async singletons() {
    const { entity } = await player();
    await entity.getSingleton("settings").gives(null);
    await entity.updateSingleton("settings", { sound: false }, null, -1).gives({ version: 1, entityType: "settings" });
    await entity.updateSingleton("settings", { sound: true }, OTHERS_READ, 1).gives({ version: 2, acl: OTHERS_READ });
    await entity.getSingleton("settings").gives({ version: 2, data: { sound: true } });
    await entity.updateSingleton("settings", {}, null, 1).refused(400, 40344);
    await entity.deleteSingleton("settings", 2).gives(null);
    await entity.deleteSingleton("settings", -1).refused(404, 40332);
  },

  async "entities that players share"() {
    const [ada, bob] = [await player(), await player()];
    const { entityId } = await ada.entity
      .createEntity("guest book", { visits: 1 }, OTHERS_WRITE)
      .gives({ acl: OTHERS_WRITE });
    const secret = await ada.entity.createEntity("diary", { day: 1 }, null).gives({ acl: { other: 0 } });

    await bob.entity.getSharedEntityForProfileId(ada.id, entityId).gives({ entityId, data: { visits: 1 } });
    await bob.entity.getSharedEntitiesForProfileId(ada.id).gives({ entityListCount: 1, entities: [{ entityId }] });
    await bob.entity
      .getSharedEntitiesListForProfileId(ada.id, { entityType: "guest book" }, { createdAt: 1 }, 10)
      .gives({ entities: [{ entityId, version: 1 }] });
    await bob.entity
      .updateSharedEntity(entityId, ada.id, "guest book", { visits: 2 }, 1)
      .gives({ version: 2, data: { visits: 2 }, acl: OTHERS_WRITE });
    await bob.entity
      .incrementSharedUserEntityData(entityId, ada.id, { visits: 1 })
      .gives({ version: 3, data: { visits: 3 } });
    await ada.entity.getEntity(entityId).gives({ data: { visits: 3 } });

    await bob.entity.getSharedEntityForProfileId(ada.id, secret.entityId).refused(403, 40346);
    await bob.entity.incrementSharedUserEntityData(entityId, "nobody", { visits: 1 }).refused(400, 40345);
    const refusal = await bob.entity.updateEntity(entityId, "guest book", {}, null, 3).refused(404, 40332);
    expect(refusal.status_message.includes(entityId), true, "the refusal names the entity");
  },
};
