using System;
using System.Collections.Generic;
using System.Linq;

namespace GameServer.Client
{
    /// <summary>What a call returns: an object whose members are read by name. What is not there is null.</summary>
    public class Reply
    {
        static readonly IDictionary<string, object> Nothing = new Dictionary<string, object>();

        /// <summary>Wrap an object; null counts as one without members.</summary>
        public Reply(IDictionary<string, object> data)
        {
            Members = data ?? Nothing;
        }

        /// <summary>Everything that the server has told, also what has no property of its own.</summary>
        public IDictionary<string, object> Members { get; }

        /// <summary>Return a member; null where there is none.</summary>
        public object Get(string name)
        {
            object value;
            return Members.TryGetValue(name, out value) ? value : null;
        }

        /// <summary>Return a text.</summary>
        public string GetText(string name)
        {
            return Get(name) as string;
        }

        /// <summary>Return a whole number.</summary>
        public long? GetWhole(string name)
        {
            return AsWhole(Get(name));
        }

        /// <summary>Return a number.</summary>
        public double? GetNumber(string name)
        {
            return AsNumber(Get(name));
        }

        /// <summary>Return whether something holds.</summary>
        public bool? GetFlag(string name)
        {
            return Get(name) as bool?;
        }

        /// <summary>Return an object as it is.</summary>
        public IDictionary<string, object> GetObject(string name)
        {
            return Get(name) as IDictionary<string, object>;
        }

        /// <summary>Return an object with members of its own.</summary>
        public T GetOne<T>(string name, Func<IDictionary<string, object>, T> make)
            where T : class
        {
            IDictionary<string, object> found = GetObject(name);
            return found == null ? null : make(found);
        }

        /// <summary>Return a list; an empty one where there is none.</summary>
        public IReadOnlyList<T> GetMany<T>(string name, Func<object, T> make)
        {
            var found = Get(name) as IList<object>;
            return found == null ? new T[0] : (IReadOnlyList<T>)found.Select(make).ToList();
        }

        /// <summary>Return the values of an object by their names; an empty one where there is none.</summary>
        public IReadOnlyDictionary<string, T> GetByName<T>(string name, Func<object, T> make)
        {
            IDictionary<string, object> found = GetObject(name) ?? Nothing;
            return found.ToDictionary(member => member.Key, member => make(member.Value));
        }

        /// <summary>Return a value as a whole number, if it is one.</summary>
        public static long? AsWhole(object value)
        {
            if (value is long)
            {
                return (long)value;
            }
            return value is double && (double)value == Math.Floor((double)value) ? (long)(double)value : (long?)null;
        }

        /// <summary>Return a value as a number, if it is one.</summary>
        public static double? AsNumber(object value)
        {
            return value is long ? (long)value : value as double?;
        }
    }
}
